#include <algorithm>

#include "base/error.h"
#include "io/safetensors.h"

#include <nlohmann/json.hpp>

namespace shardlora {
namespace {

std::string_view file_name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "F32";
    case DType::kBF16: return "BF16";
    case DType::kF16: return "F16";
    case DType::kI32: return "I32";
    case DType::kU8: return "U8";
  }
  return "";
}

// The place of a dtype in the reference writer's order, which never puts a wider type behind a narrower one.
int rank_of(DType dtype) {
  switch (dtype) {
    case DType::kF32: return 0;
    case DType::kI32: return 1;
    case DType::kBF16: return 2;
    case DType::kF16: return 3;
    case DType::kU8: return 4;
  }
  return 5;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<Entry> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : tensors_(std::move(tensors)), file_(path) {
  std::sort(tensors_.begin(), tensors_.end(), [](const Entry& a, const Entry& b) {
    const int rank_a = rank_of(a.dtype), rank_b = rank_of(b.dtype);
    return rank_a != rank_b ? rank_a < rank_b : a.name < b.name;
  });
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::uint64_t end = 0;
  for (const Entry& tensor : tensors_) {
    CHECK(!header.contains(tensor.name), "two tensors named {}", tensor.name);
    std::vector<std::int64_t> dims;
    for (int i = 0; i < tensor.shape.rank(); ++i) dims.push_back(tensor.shape[i]);
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(tensor.shape.numel()) * size_of(tensor.dtype);
    header[tensor.name] = {{"dtype", file_name_of(tensor.dtype)}, {"shape", dims}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(std::as_bytes(std::span(text)));
}

void SafetensorsWriter::write(ConstTensor next) {
  CHECK(written_ < tensors_.size(), "{} tensors and one more", tensors_.size());
  const Entry& entry = tensors_[written_];
  const std::int64_t all = entry.shape.numel();
  CHECK(next.dtype == entry.dtype && values_ + next.shape.numel() <= all &&
            (next.shape == entry.shape ||
             (next.shape.rank() == 2 && entry.shape.rank() == 2 && next.shape[1] == entry.shape[1])),
        "{} is written as {} behind {} values", entry.name, next.shape.text(), values_);
  file_.write({next.data, next.bytes()});
  values_ += next.shape.numel();
  if (values_ < all) return;
  ++written_;
  values_ = 0;
}

void SafetensorsWriter::finish() {
  CHECK(written_ == tensors_.size(), "{} of {} tensors were written", written_, tensors_.size());
  file_.finish();
}

}  // namespace shardlora
