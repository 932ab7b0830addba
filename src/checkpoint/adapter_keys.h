// The keys of adapter_config.json, one row for each that PEFT's LoraConfig writes: what it does to the adapter's maths.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

namespace shardlora {

enum class KeyEffect : std::uint8_t {
  kRead,      // changes the maths and is read
  kRefused,   // changes the maths and has to be off, or to have the value of plain LoRA
  kHarmless,  // does not change what the adapter's tensors compute
};

struct AdapterKey {
  std::string_view name;
  KeyEffect effect;
  std::string_view what = {};   // of a refused one: what it asks for
  std::string_view plain = {};  // of a refused one: the word that asks for plain LoRA
};

std::span<const AdapterKey> adapter_keys();

// An Error, opened by `what`, unless the keys describe plain LoRA. A key that is in no row could change the maths: it
// is refused unless it is off.
void check_adapter_keys(const nlohmann::ordered_json& config, std::string_view what);

}  // namespace shardlora
