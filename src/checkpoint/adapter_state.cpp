#include "checkpoint/adapter_state.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/philox.h"

namespace shardlora {

void initialise_adapter(ParamStore& store, const BaseModel& base, std::uint64_t seed) {
  constexpr std::uint32_t kStream = 0x0ADA97E5;  // keeps these draws apart from other uses of the seed
  const PhiloxKey key{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()), 0.0F);
    const std::vector<ParamSpec>& params = layout.spec().params;
    for (std::size_t p = 0; p < params.size(); ++p) {
      if (trains_as_a_whole(params[p]))
        base.read(base.name_of(params[p].name), params[p],
                  std::span(elements).subspan(static_cast<std::size_t>(layout.element_offset(p)),
                                              static_cast<std::size_t>(params[p].shape.numel())));
      if (!params[p].trainable || !params[p].name.ends_with("lora_A.weight")) continue;
      const float bound = 1.0F / std::sqrt(static_cast<float>(params[p].shape[1]));
      float* const a = elements.data() + layout.element_offset(p);
      for (std::uint32_t i = 0; i < params[p].shape.numel(); ++i) {
        const PhiloxBlock draw =
            philox(key, {i, static_cast<std::uint32_t>(u), static_cast<std::uint32_t>(p), kStream});
        a[i] = (2.0F * uniform(draw.v[0]) - 1.0F) * bound;
      }
    }
    store.set_trainable(u, elements.data());
  }
}

void set_adapter(ParamStore& store, const Adapter& adapter) {
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    std::vector<float> elements(static_cast<std::size_t>(layout.trainable_elements()));
    for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
      const ParamSpec& param = layout.spec().params[p];
      if (!param.trainable) continue;
      const auto values = adapter.tensors.at(param.name).values.begin() + param.first_value();
      std::copy(values, values + param.shape.numel(), elements.begin() + layout.element_offset(p));
    }
    store.set_trainable(u, elements.data());
  }
}

namespace {

// Where rows of a parameter's trainable elements are.
struct RowsPlace {
  std::size_t unit = 0;
  std::int64_t begin = 0;  // in elements
  Shape shape;
};

}  // namespace

void save_adapter(const std::filesystem::path& directory, const ParamStore& store, Communicator& comm,
                  const LoraConfig& config, const std::string& base_model) {
  std::map<std::string, Shape> params;
  std::map<std::string, std::map<std::int64_t, RowsPlace>> places;  // by parameter and first row
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
      const ParamSpec& param = layout.spec().params[p];
      if (!param.trainable) continue;
      params.emplace(param.name, param.stored_shape());
      places[param.name][param.first_row] = {u, layout.element_offset(p), param.shape};
    }
  }
  AdapterHead head{config, base_model};
  head.tied = config.saves("embed_tokens") && config.saves("lm_head") && !params.contains("lm_head.weight");
  // A unit's tensors stand together in the file, so each is gathered once (a tied embedding once for either name).
  constexpr int kWriter = 0;
  std::size_t gathered = store.units();
  Buffer elements;
  const auto values = [&](const std::string& param, std::int64_t row) -> ConstTensor {
    const RowsPlace& place = places.at(param).at(row);
    if (gathered != place.unit) {
      elements = Buffer();  // before there is room for the next one
      elements = store.gather_trainable(gathered = place.unit, kWriter, comm);
    }
    if (elements.bytes() == 0) return {};
    return elements.tensor(DType::kF32, place.shape, static_cast<std::size_t>(place.begin) * sizeof(float));
  };
  if (comm.rank() == kWriter) return write_adapter(directory, head, params, values);
  for (const std::string& param : params_in_file_order(params, head.tied))
    for (const auto& [row, place] : places.at(param)) values(param, row);
}

}  // namespace shardlora
