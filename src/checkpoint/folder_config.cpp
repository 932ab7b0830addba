#include "checkpoint/folder_config.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "io/json.h"
#include "models/model_spec.h"

namespace shardlora {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 20;
constexpr std::int64_t kLargest = std::int64_t{1} << 32;

// Typed keys of one object. A key that is null counts as missing, as in transformers.
class Keys {
 public:
  Keys(const nlohmann::json& json, std::string what) : json_(json), what_(std::move(what)) {}

  const nlohmann::json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  bool has(const char* key) const { return find(key) != nullptr; }
  bool says(const char* key) const { return json_.contains(key); }  // null, too
  std::int64_t integer(const char* key) const { return at_least(1, key, "a whole number above 0"); }
  std::int64_t integer(const char* key, std::int64_t fallback) const { return has(key) ? integer(key) : fallback; }
  std::int64_t count(const char* key, std::int64_t fallback) const {
    return has(key) ? at_least(0, key, "a whole number") : fallback;
  }
  double positive(const char* key) const {
    const nlohmann::json& value = required(key);
    if (!value.is_number() || !(value.get<double>() > 0)) wrong(key, "a number above 0");
    return value.get<double>();
  }
  double positive(const char* key, double fallback) const { return has(key) ? positive(key) : fallback; }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!find(key)->is_boolean()) wrong(key, "true or false");
    return find(key)->get<bool>();
  }
  std::string text(const char* key, const char* fallback) const {
    if (!has(key)) return fallback;
    if (!find(key)->is_string()) wrong(key, "a text");
    return find(key)->get<std::string>();
  }
  // An object, or an empty one.
  Keys object(const char* key) const {
    static const nlohmann::json kNone = nlohmann::json::object();
    if (!has(key)) return {kNone, what_};
    if (!find(key)->is_object()) wrong(key, "an object");
    return {*find(key), fmt::format("{}: {}", what_, key)};
  }
  bool empty() const { return json_.empty(); }
  const std::string& what() const { return what_; }
  [[noreturn]] void refuse(const char* key, const std::string& about) const {
    fail("{}: {}: {} is not supported yet; choose a model without it", what_, key, about);
  }

 private:
  std::int64_t at_least(std::int64_t least, const char* key, const char* wanted) const {
    const nlohmann::json& value = required(key);
    if (!value.is_number_integer() || value.get<std::int64_t>() < least || value.get<std::int64_t>() > kLargest)
      wrong(key, wanted);
    return value.get<std::int64_t>();
  }
  const nlohmann::json& required(const char* key) const {
    if (!has(key)) fail("{}: has no key {}; the file is of another kind or incomplete, fetch it again", what_, key);
    return *find(key);
  }
  [[noreturn]] void wrong(const char* key, const char* wanted) const {
    fail("{}: {} is {}; it has to be {}", what_, key, required(key).dump().substr(0, 60), wanted);
  }

  const nlohmann::json& json_;
  std::string what_;
};

const Architecture& architecture_of(const Keys& keys) {
  std::string name;
  if (const auto* list = keys.find("architectures"); list != nullptr && list->is_array() && !list->empty())
    name = (*list)[0].is_string() ? (*list)[0].get<std::string>() : "";
  const std::string type = keys.text("model_type", "");
  std::vector<std::string> names;
  for (const Architecture& a : architectures()) {
    if (name.empty() ? type == a.name : name == a.hugging_face) return a;
    names.emplace_back(a.hugging_face);
  }
  fail("{}: unknown architecture \"{}\"; this version knows: {}", keys.what(), name.empty() ? type : name,
       fmt::join(names, ", "));
}

// What bitsandbytes packed into 4 bits says of itself beside each weight (bitsandbytes.h).
void refuse_quantised(const Keys& quantised, const std::string& what) {
  const bool four_bit = quantised.boolean("load_in_4bit", quantised.boolean("_load_in_4bit", false));
  const std::string method = quantised.text("quant_method", four_bit ? "bitsandbytes" : "unknown method");
  if (method == "bitsandbytes" && four_bit) return;
  fail(
      "{}: the weights are quantised already ({}{}), which is not supported yet; this version reads GGUF files and "
      "bitsandbytes' NF4 (load_in_4bit). Take one of these or the model's original folder",
      what, method, quantised.boolean("load_in_8bit", false) ? ", load_in_8bit" : "");
}

void refuse_what_we_cannot_compute(const Keys& keys) {
  if (keys.has("quantization_config")) refuse_quantised(keys.object("quantization_config"), keys.what());
  if (const std::string act = keys.text("hidden_act", "silu"); act != "silu" && act != "swish")
    keys.refuse("hidden_act", fmt::format("the activation \"{}\"", act));
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts"})
    if (keys.has(key)) keys.refuse(key, "a mixture of experts");
}

void read_llama3(const Keys& keys, Rope& rope) {
  rope.low_freq_factor = keys.positive("low_freq_factor");
  rope.high_freq_factor = keys.positive("high_freq_factor");
  if (rope.high_freq_factor <= rope.low_freq_factor)
    fail("{}: high_freq_factor is {}, low_freq_factor {}; the first has to be larger", keys.what(),
         rope.high_freq_factor, rope.low_freq_factor);
}

void read_yarn(const Keys& keys, Rope& rope) {
  rope.beta_fast = keys.positive("beta_fast", rope.beta_fast);
  rope.beta_slow = keys.positive("beta_slow", rope.beta_slow);
  rope.truncate = keys.boolean("truncate", rope.truncate);
  if (keys.has("attention_factor")) rope.attention_factor = keys.positive("attention_factor");
  rope.mscale = keys.positive("mscale", 0);
  rope.mscale_all_dim = keys.positive("mscale_all_dim", 0);
}

// transformers 5 has all in rope_parameters; transformers 4 rope_theta beside rope_scaling, if any.
Rope rope_of(const Keys& keys, std::int64_t max_positions) {
  const nlohmann::json* const scaling = keys.find("rope_scaling");
  const Keys parameters = keys.object(scaling != nullptr && !scaling->empty() ? "rope_scaling" : "rope_parameters");
  for (const char* key : {"full_attention", "sliding_attention"})
    if (parameters.has(key)) keys.refuse("rope_parameters", "a rotary embedding per kind of layer");
  Rope rope;
  rope.theta = parameters.positive("rope_theta", keys.positive("rope_theta", rope.theta));
  for (const Keys& where : {keys, parameters})
    if (where.positive("partial_rotary_factor", 1) != 1)
      where.refuse("partial_rotary_factor", "turning a part of each head only");

  const std::string type = parameters.text("rope_type", parameters.text("type", "default").c_str());
  if (type == "default") return rope;
  if (type != "linear" && type != "llama3" && type != "yarn")
    keys.refuse(keys.has("rope_scaling") ? "rope_scaling" : "rope_parameters",
                fmt::format("the rotary scaling \"{}\" (linear, llama3 and yarn are)", type));
  rope.factor = parameters.positive("factor");
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    return rope;
  }
  const double length = parameters.positive("original_max_position_embeddings", static_cast<double>(max_positions));
  rope.original_positions = keys.positive("original_max_position_embeddings", length);
  rope.scaling = type == "llama3" ? RopeScaling::kLlama3 : RopeScaling::kYarn;
  if (type == "llama3")
    read_llama3(parameters, rope);
  else
    read_yarn(parameters, rope);
  return rope;
}

// What transformers makes of layer_types, or of max_window_layers: the layers from there on slide.
bool any_layer_slides(const Keys& keys, std::int64_t layers) {
  if (const nlohmann::json* types = keys.find("layer_types")) {
    if (!types->is_array() || std::ssize(*types) != layers)
      fail("{}: layer_types has to name the attention of each of the {} layers", keys.what(), layers);
    for (const nlohmann::json& type : *types)
      if (type != "full_attention" && type != "sliding_attention")
        keys.refuse("layer_types", fmt::format("a layer of {}", type.dump()));
    return std::find(types->begin(), types->end(), "sliding_attention") != types->end();
  }
  return keys.count("max_window_layers", 28) < layers;
}

// Llama has none; Mistral's holds unless it is null; Qwen's where it is used and a layer slides.
std::int64_t window_of(const Keys& keys, const ModelConfig& config) {
  const bool slides = config.architecture == "mistral" ||
                      (config.architecture != "llama" && keys.boolean("use_sliding_window", false) &&
                       any_layer_slides(keys, config.layers));
  return slides ? keys.integer("sliding_window", keys.says("sliding_window") ? 0 : 4096) : 0;
}

}  // namespace

nlohmann::json read_config_json(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    fail("{}: is missing; without it nothing is known of the model, fetch it into the folder", path.string());
  nlohmann::json json = parse_json(read_text(path, kMaxBytes), path.string());
  if (!json.is_object()) fail("{}: is not a JSON object; fetch it again", path.string());
  return json;
}

ModelConfig config_of(const nlohmann::json& json, const std::string& what, bool has_own_head) {
  const Keys keys(json, what);
  const Architecture& architecture = architecture_of(keys);
  refuse_what_we_cannot_compute(keys);
  ModelConfig config;
  config.architecture = architecture.name;
  config.vocab = keys.integer("vocab_size");
  config.hidden = keys.integer("hidden_size");
  config.intermediate = keys.integer("intermediate_size");
  config.layers = keys.integer("num_hidden_layers");
  config.heads = keys.integer("num_attention_heads");
  config.kv_heads = keys.integer("num_key_value_heads", config.heads);
  if (!keys.has("head_dim") && config.hidden % config.heads != 0)
    fail("{}: hidden_size {} cannot be cut into {} heads, and there is no head_dim; the file is garbled", what,
         config.hidden, config.heads);
  config.head_dim = keys.integer("head_dim", config.hidden / config.heads);
  config.max_positions = keys.integer("max_position_embeddings", 2048);
  config.sliding_window = window_of(keys, config);
  config.norm_eps = keys.positive("rms_norm_eps", 1e-6);
  config.tied_embeddings = keys.boolean("tie_word_embeddings", !has_own_head);
  config.qkv_bias = config.o_bias = keys.boolean("attention_bias", false);
  config.mlp_bias = keys.boolean("mlp_bias", false);
  check(config, what);
  config.rope = rope_of(keys, config.max_positions);
  return config;
}

}  // namespace shardlora
