// Makes a prepared base with random weights, as shardlora quantize would leave it, for measurements at the sizes of
// models that nobody wants to fetch: no dense weight of a linear is ever made.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace shardlora {

struct RandomBase {
  std::optional<std::int64_t> layers;  // else as many as the configuration says
  std::uint64_t seed = 1;
  int threads = 1;
};

// `model`: a folder with config.json and the files of a tokenizer, which are taken over; `out`: a folder that is not
// there, or empty. Linears: NF4 with double quantisation, codes and scales drawn so that weights have a mean near 0 and
// a deviation of 0.02, others in every tensor; embedding and head: bf16, normal, 0.02; norms: 1. The bytes follow from
// configuration, layers and seed alone. Returns the bytes of its tensors. Too little room, or a folder with something
// in it, is an Error.
std::uint64_t make_random_base(const std::filesystem::path& model, const std::filesystem::path& out,
                               const RandomBase& options);

}  // namespace shardlora
