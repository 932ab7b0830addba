// An adapter on its way from the store to its file.
#include "checkpoint/adapter_state.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/cpu_device.h"
#include "base/file.h"
#include "checkpoint/write_adapter.h"
#include "io/temporary_directory.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

constexpr std::int64_t kLayers = 12;  // enough that layer 10 comes before layer 2 in a file

LoraConfig tied_config() {
  return {.rank = 3, .alpha = 6, .target_modules = {"q_proj"}, .modules_to_save = {"embed_tokens", "lm_head"}};
}

// A tied embedding that trains, and layers whose adapters are smaller.
std::vector<UnitSpec> units() {
  const Format f32 = dense_format(DType::kF32);
  std::vector<UnitSpec> units{{"model.embed_tokens", {{"model.embed_tokens.weight", {640, 32}, f32, true}}}};
  for (std::int64_t l = 0; l < kLayers; ++l) {
    const std::string name = fmt::format("model.layers.{}", l), q = name + ".self_attn.q_proj";
    units.push_back({name,
                     {{q + ".weight", {32, 32}, f32},
                      {q + ".lora_A.weight", {3, 64 * (l + 1)}, f32, true},
                      {q + ".lora_B.weight", {700, 3}, f32, true}}});
  }
  return units;
}

std::vector<float> trained_values(const UnitLayout& layout) {
  std::vector<float> values(static_cast<std::size_t>(layout.trainable_elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(layout.spec().name.size() + i) / static_cast<float>(1 + layout.spec().params.size());
  return values;
}

// The same adapter, put together without a store.
Adapter expected(const std::vector<UnitSpec>& units) {
  Adapter adapter{{tied_config(), "a base", true}, {}};
  for (const UnitSpec& unit : units) {
    const UnitLayout layout(unit);
    const std::vector<float> values = trained_values(layout);
    for (std::size_t p = 0; p < unit.params.size(); ++p) {
      if (!unit.params[p].trainable) continue;
      const auto begin = values.begin() + layout.element_offset(p);
      adapter.tensors[unit.params[p].name] = {unit.params[p].shape, {begin, begin + unit.params[p].shape.numel()}};
    }
  }
  return adapter;
}

struct Peaks {
  std::size_t device = 0, host = 0;  // bytes that saving took
};

Peaks save(Rendezvous& rendezvous, const std::vector<UnitSpec>& units, const std::filesystem::path& directory) {
  CpuDevice device({});
  const auto comm = rendezvous.make_communicator(device, "reductions");
  ParamStore store(device, rendezvous.rank(), rendezvous.size(), units);
  for (std::size_t u = 0; u < store.units(); ++u) store.set_trainable(u, trained_values(store.layout(u)).data());
  device.reset_peaks();
  const std::size_t device_before = device.memory(Tier::kDevice).total_now,
                    host_before = device.memory(Tier::kPinned).total_now;
  save_adapter(directory, store, *comm, tied_config(), "a base");
  return {device.memory(Tier::kDevice).total_peak - device_before,
          device.memory(Tier::kPinned).total_peak - host_before};
}

TEST(SavedAdapterState, IsTheSameFileFromEveryNumberOfRanksAndOneUnitAtATime) {
  const std::vector<UnitSpec> all = units();
  const TemporaryDirectory directory;
  write_adapter(directory.path() / "expected", expected(all));
  std::size_t largest = 0;
  for (const UnitSpec& unit : all)
    largest = std::max(largest, static_cast<std::size_t>(UnitLayout(unit).trainable_elements()) * sizeof(float));
  for (const int ranks : {1, 2, 3}) {
    const std::filesystem::path here = directory.path() / std::to_string(ranks);
    const std::vector<Peaks> peaks = on_thread_ranks(ranks, [&](Rendezvous& r) { return save(r, all, here); });
    for (const char* file : {"adapter_model.safetensors", "adapter_config.json"})
      EXPECT_EQ(read_text(here / file, 1 << 24), read_text(directory.path() / "expected" / file, 1 << 24)) << ranks;
    EXPECT_EQ(peaks[0].device, whole_pages(largest)) << "of " << ranks;
    EXPECT_EQ(peaks[0].host, whole_pages(largest));
    for (int r = 1; r < ranks; ++r) EXPECT_EQ(peaks[static_cast<std::size_t>(r)].device, 0U) << "rank " << r;
    for (int r = 1; r < ranks; ++r) EXPECT_EQ(peaks[static_cast<std::size_t>(r)].host, 0U) << "rank " << r;
  }
}

}  // namespace
}  // namespace shardlora
