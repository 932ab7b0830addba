#include "checkpoint/bitsandbytes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "io/json.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

using Place = SafetensorsFolder::Place;

constexpr const char *kState = ".quant_state.", *kNf4State = ".quant_state.bitsandbytes__nf4";
constexpr const char* kBeside[] = {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"};
constexpr std::size_t kMaxStateBytes = 4096;
constexpr std::int64_t kLargestDimension = std::int64_t{1} << 31;

// The parts of one weight, each checked as it is read.
class Parts {
 public:
  Parts(const SafetensorsFolder& files, const std::string& weight) : files_(files), weight_(weight) {
    const auto first = files_.tensors().lower_bound(weight_ + kState);
    if (first == files_.tensors().end() || !first->first.starts_with(weight_ + kState))
      fail("{}: {} has tensors of bitsandbytes beside it, but no {}{}; fetch the model again, all of it", file(),
           weight_, weight_, kNf4State);
    if (first->first != weight_ + kNf4State)
      fail(
          "{}: tensor {} says that {} is quantised to another format; this version reads NF4, take the unquantised "
          "model",
          file(), first->first, weight_);
    state_ = parse_json(text(), what());
    if (!state_.is_object()) wrong("state", "an object");
  }

  bool has(const char* part) const { return files_.find(weight_ + part) != nullptr; }
  const Place& part(const char* part) const {
    const Place* place = files_.find(weight_ + part);
    if (place == nullptr)
      fail("{}: {} is quantised by bitsandbytes, but has no {}{}; fetch the model again, all of it", file(), weight_,
           weight_, part);
    return *place;
  }
  const Place& part(const char* name, const char* dtype, std::size_t bytes) const {
    const Place& found = part(name);
    if ((dtype != nullptr && found.entry->dtype != dtype) || found.entry->bytes != bytes)
      fail(
          "{}: tensor {} is {} bytes of {}, but {} wants {} bytes{}; fetch the model again, or take the unquantised "
          "one",
          found.file->path().string(), found.entry->name, found.entry->bytes, found.entry->dtype, what(), bytes,
          dtype == nullptr ? "" : fmt::format(" of {}", dtype));
    return found;
  }
  void read(const char* name, std::span<float> out) const {
    const Place& found = part(name, "F32", out.size_bytes());
    found.file->read_f32(*found.entry, out);
  }

  // Of the JSON text.
  std::string word(const char* key) const {
    const auto found = state_.find(key);
    return found != state_.end() && found->is_string() ? found->get<std::string>() : "";
  }
  void needs(const char* key, const nlohmann::json& value) const {
    const auto found = state_.find(key);
    if (found == state_.end() || *found != value) wrong(key, value.dump());
  }
  int block() const {
    const auto found = state_.find("blocksize");
    const auto size = found != state_.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
    if (!std::has_single_bit(size) || size < 32 || size > 4096) wrong("blocksize", "a power of two from 32 to 4096");
    return static_cast<int>(size);
  }
  DType dtype() const {
    const std::string name = word("dtype");
    if (name == "bfloat16") return DType::kBF16;
    if (name == "float16") return DType::kF16;
    if (name != "float32") wrong("dtype", "bfloat16, float16 or float32");
    return DType::kF32;
  }
  Shape shape() const {
    const auto found = state_.find("shape");
    const auto size = [&](std::size_t d) -> std::int64_t {
      const nlohmann::json& value = (*found)[d];
      return value.is_number_unsigned() && value < kLargestDimension ? value.get<std::int64_t>() : 0;
    };
    const bool matrix = found != state_.end() && found->is_array() && found->size() == 2 && size(0) > 0 && size(1) > 0;
    if (!matrix) wrong("shape", "rows and columns");
    return {size(0), size(1)};
  }
  float offset() const {
    const auto found = state_.find("nested_offset");
    if (found == state_.end() || !found->is_number() || !std::isfinite(found->get<float>()))
      wrong("nested_offset", "a number");
    return found->get<float>();
  }

 private:
  // The first tensor of the weight says which file.
  std::string file() const {
    const auto first = files_.tensors().lower_bound(weight_);
    return first->second.file->path().string();
  }
  std::string what() const {
    return fmt::format("{}: {}{}", part(kNf4State).file->path().string(), weight_, kNf4State);
  }
  std::string text() const {
    const auto& [file, entry] = part(kNf4State);
    if (entry->dtype != "U8" || entry->bytes > kMaxStateBytes)
      fail("{}: is no JSON text; fetch the model again", what());
    std::string bytes(entry->bytes, '\0');
    file->read_bytes(*entry, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
  [[noreturn]] void wrong(const char* key, const std::string& wanted) const {
    const auto found = state_.find(key);
    fail("{}: {} is {}; this version reads {}, take the unquantised model", what(), key,
         found == state_.end() ? "missing" : found->dump().substr(0, 60), wanted);
  }

  const SafetensorsFolder& files_;
  const std::string& weight_;
  nlohmann::json state_;
};

}  // namespace

BitsandbytesWeight::BitsandbytesWeight(const SafetensorsFolder& files, const std::string& name) {
  const Parts parts(files, name);
  parts.needs("quant_type", "nf4");
  shape_ = parts.shape();
  format_ = {Codec::kNF4, parts.block(), parts.has(".nested_absmax"), parts.dtype()};
  const SectionBytes bytes = section_bytes(format_, shape_);
  stored_[0] = &parts.part("", nullptr, bytes[0]);
  stored_[1] = &parts.part(".absmax", format_.double_quant ? "U8" : "F32", bytes[1]);
  std::array<float, kNf4Levels> levels{};
  parts.read(".quant_map", levels);
  if (levels != kNf4Values)
    fail("{}: tensor {}.quant_map has other levels than NF4; this version reads NF4, take the unquantised model",
         stored_[0]->file->path().string(), name);
  if (!format_.double_quant) return;
  parts.needs("nested_blocksize", kNestedBlock);
  parts.needs("nested_dtype", "float32");
  stored_[2] = &parts.part(".nested_absmax", "F32", bytes[2]);
  nested_.offset = parts.offset();
  parts.read(".nested_quant_map", nested_.map);
}

void BitsandbytesWeight::read_section(int section, std::span<std::byte> out, std::size_t first) const {
  const auto s = static_cast<std::size_t>(section);
  if (s < stored_.size()) return stored_[s]->file->read_bytes(*stored_[s]->entry, out, first);
  const auto bytes = std::as_bytes(std::span(&nested_, 1)).subspan(first, out.size());
  std::copy(bytes.begin(), bytes.end(), out.begin());
}

void BitsandbytesWeight::read_f32(std::span<float> out, std::int64_t first) const {
  const auto read = [&](int section, std::span<std::byte> to, std::size_t at) { read_section(section, to, at); };
  dequantize(format_, shape_, read, first, out);
}

std::optional<std::string> packed_weight_of(const std::string& name) {
  if (const std::size_t at = name.find(kState); at != std::string::npos) return name.substr(0, at);
  for (const std::string_view part : kBeside)
    if (name.ends_with(part)) return name.substr(0, name.size() - part.size());
  return std::nullopt;
}

std::map<std::string, BitsandbytesWeight> bitsandbytes_weights(const SafetensorsFolder& files) {
  std::map<std::string, BitsandbytesWeight> weights;
  for (const auto& [name, place] : files.tensors())
    if (const auto weight = packed_weight_of(name); weight && !weights.contains(*weight))
      weights.emplace(*weight, BitsandbytesWeight(files, *weight));
  return weights;
}

}  // namespace shardlora
