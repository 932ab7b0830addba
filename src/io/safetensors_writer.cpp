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

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const NamedTensor*> in_order;
  for (const NamedTensor& tensor : tensors) in_order.push_back(&tensor);
  std::sort(in_order.begin(), in_order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const int rank_a = rank_of(a->values.dtype), rank_b = rank_of(b->values.dtype);
    return rank_a != rank_b ? rank_a < rank_b : a->name < b->name;
  });

  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::vector<std::span<const std::byte>> pieces(2);  // length and header come last
  std::uint64_t end = 0;
  for (const NamedTensor* tensor : in_order) {
    CHECK(!header.contains(tensor->name), "two tensors named {}", tensor->name);
    std::vector<std::int64_t> dims;
    for (int i = 0; i < tensor->values.shape.rank(); ++i) dims.push_back(tensor->values.shape[i]);
    const std::uint64_t begin = end;
    end += tensor->values.bytes();
    header[tensor->name] = {
        {"dtype", file_name_of(tensor->values.dtype)}, {"shape", dims}, {"data_offsets", {begin, end}}};
    pieces.emplace_back(tensor->values.data, tensor->values.bytes());
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  pieces[0] = std::as_bytes(std::span(&length, 1));
  pieces[1] = std::as_bytes(std::span(text));
  write_file_atomically(path, std::span<const std::span<const std::byte>>(pieces));
}

}  // namespace shardlora
