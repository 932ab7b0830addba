#include "checkpoint/prepared_manifest.h"

#include <set>

#include "base/file.h"
#include "param/layout.h"
#include "quant/codec.h"
#include "tensor/pages.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{1} << 28;

template <typename... Args>
[[noreturn]] void garbled(const fs::path& file, fmt::format_string<Args...> text, Args&&... args) {
  fail("{}: {}; the prepared base is damaged, make it again with shardlora quantize", file.string(),
       fmt::format(text, std::forward<Args>(args)...));
}

// Nothing in it is larger than the file of tensors lets it be.
void check_tensor(const proto::PreparedTensor& t, const fs::path& file, std::uint64_t bytes,
                  std::uint64_t chunk_bytes) {
  std::int64_t numel = 1;
  const auto most = static_cast<std::int64_t>(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 56)) * 16;
  if (t.shape_size() == 0 || t.shape_size() > 4) garbled(file, "tensor {} has {} dimensions", t.name(), t.shape_size());
  for (const std::int64_t dim : t.shape())
    if (dim <= 0 || __builtin_mul_overflow(numel, dim, &numel) || numel > most)
      garbled(file, "tensor {} has a dimension of {}", t.name(), dim);
  const CodecRow* codec = find_codec(t.packing().codec());
  if (codec == nullptr)
    fail("{}: tensor {} is packed as \"{}\", which this version does not know; it may be of a newer one", file.string(),
         t.name(), t.packing().codec());
  if (t.packing().block() < 2 || t.packing().block() > 4096 || t.packing().block() % 2 != 0)
    garbled(file, "tensor {} has blocks of {}", t.name(), t.packing().block());
  const CodecRow* rounded_to = find_codec(t.packing().rounded_to());
  if (rounded_to == nullptr || !rounded_to->dtype)
    garbled(file, "tensor {} is rounded to \"{}\"", t.name(), t.packing().rounded_to());
  const Format format = format_of(t.packing());
  if (!codec->dtype && numel % (codec->encode == nullptr ? grain_of(format) : 1) != 0)
    garbled(file, "tensor {} is no whole blocks of {}", t.name(), codec->name);
  if (const std::size_t needed = layout_of(format, shape_of(t)).bytes; t.bytes() != needed)
    garbled(file, "tensor {} has {} bytes in the place of {}", t.name(), t.bytes(), needed);
  if (static_cast<std::uint64_t>(t.crc32c_size()) != (t.bytes() + chunk_bytes - 1) / chunk_bytes)
    garbled(file, "tensor {} of {} bytes has {} checksums", t.name(), t.bytes(), t.crc32c_size());
}

}  // namespace

proto::PreparedBase read_manifest(const fs::path& file) {
  const std::string text = read_text(file, kMaxManifestBytes);
  proto::PreparedBase manifest;
  if (!manifest.ParseFromString(text)) garbled(file, "is no manifest");
  if (manifest.version() > kManifestVersion)
    fail("{}: was made by a newer version of shardlora (format {}, this one reads up to {}); update, or make it again",
         file.string(), manifest.version(), kManifestVersion);
  if (manifest.version() != kManifestVersion)
    fail("{}: was made by an older version of shardlora (format {}, this one reads {}); make it again", file.string(),
         manifest.version(), kManifestVersion);
  return manifest;
}

void write_manifest(const fs::path& file, const proto::PreparedBase& manifest) {
  write_file_atomically(file, manifest.SerializeAsString());
}

void check_manifest(const proto::PreparedBase& manifest, const fs::path& file, std::uint64_t bytes) {
  if (manifest.bytes() != bytes)
    garbled(file, "{} should have {} bytes and has {}", kTensorsFile, manifest.bytes(), bytes);
  const std::uint64_t chunk = manifest.chunk_bytes();
  if (chunk < kPage || chunk % kPage != 0 || chunk > (std::uint64_t{1} << 30)) garbled(file, "has chunks of {}", chunk);
  std::set<std::string> names;
  std::uint64_t end = 0;
  for (const proto::PreparedTensor& t : manifest.tensors()) {
    if (t.offset() < end || t.offset() % kPage != 0 || t.offset() > bytes || t.bytes() > bytes - t.offset())
      garbled(file, "tensor {} needs {} bytes at {} of {}", t.name(), t.bytes(), t.offset(), bytes);
    end = t.offset() + t.bytes();
    if (!names.insert(t.name()).second) garbled(file, "tensor {} occurs twice", t.name());
    check_tensor(t, file, bytes, chunk);
  }
  for (const proto::PreparedFile& f : manifest.files())
    if (f.name() != fs::path(f.name()).filename() || f.name().starts_with('.'))
      garbled(file, "names the file \"{}\"", f.name());
  if (manifest.model().rope().scaling() > static_cast<std::uint32_t>(RopeScaling::kDivisors))
    garbled(file, "has a rotary scaling {}", manifest.model().rope().scaling());
  check(config_of(manifest.model()), file.string());
}

Format format_of(const proto::Packing& packing) {
  const CodecRow* codec = find_codec(packing.codec());
  CHECK(codec != nullptr, "no codec is called {}", packing.codec());
  Format format{.codec = codec->codec};
  if (codec->text != nullptr) {  // formats of this codec differ
    format.block = static_cast<int>(packing.block());
    format.double_quant = packing.double_quant();
    format.rounded_to = dtype_of(find_codec(packing.rounded_to())->codec);
  }
  return format;
}

proto::Packing to_proto(const Format& format) {
  proto::Packing packing;
  packing.set_codec(row_of(format.codec).name);
  packing.set_block(static_cast<std::uint32_t>(format.block));
  packing.set_double_quant(format.double_quant);
  packing.set_rounded_to(row_of(dense_format(format.rounded_to).codec).name);
  return packing;
}

Shape shape_of(const proto::PreparedTensor& tensor) {
  const auto& d = tensor.shape();
  switch (tensor.shape_size()) {
    case 1: return {d[0]};
    case 2: return {d[0], d[1]};
    case 3: return {d[0], d[1], d[2]};
    default: return {d[0], d[1], d[2], d[3]};
  }
}

ModelConfig config_of(const proto::Model& m) {
  ModelConfig c;
  c.architecture = m.architecture();
  c.vocab = m.vocab();
  c.hidden = m.hidden();
  c.intermediate = m.intermediate();
  c.layers = m.layers();
  c.heads = m.heads();
  c.kv_heads = m.kv_heads();
  c.head_dim = m.head_dim();
  c.max_positions = m.max_positions();
  c.sliding_window = m.sliding_window();
  c.norm_eps = m.norm_eps();
  c.tied_embeddings = m.tied_embeddings();
  c.qkv_bias = m.qkv_bias();
  c.o_bias = m.o_bias();
  c.mlp_bias = m.mlp_bias();
  const proto::Rope& r = m.rope();
  c.rope = {.theta = r.theta(),
            .scaling = static_cast<RopeScaling>(r.scaling()),
            .factor = r.factor(),
            .original_positions = r.original_positions(),
            .low_freq_factor = r.low_freq_factor(),
            .high_freq_factor = r.high_freq_factor(),
            .beta_fast = r.beta_fast(),
            .beta_slow = r.beta_slow(),
            .truncate = r.truncate(),
            .attention_factor = r.has_attention_factor() ? std::optional(r.attention_factor()) : std::nullopt,
            .mscale = r.mscale(),
            .mscale_all_dim = r.mscale_all_dim(),
            .divisors = {r.divisors().begin(), r.divisors().end()}};
  return c;
}

proto::Model to_proto(const ModelConfig& c) {
  proto::Model m;
  m.set_architecture(c.architecture);
  m.set_vocab(c.vocab);
  m.set_hidden(c.hidden);
  m.set_intermediate(c.intermediate);
  m.set_layers(c.layers);
  m.set_heads(c.heads);
  m.set_kv_heads(c.kv_heads);
  m.set_head_dim(c.head_dim);
  m.set_max_positions(c.max_positions);
  m.set_sliding_window(c.sliding_window);
  m.set_norm_eps(c.norm_eps);
  m.set_tied_embeddings(c.tied_embeddings);
  m.set_qkv_bias(c.qkv_bias);
  m.set_o_bias(c.o_bias);
  m.set_mlp_bias(c.mlp_bias);
  proto::Rope& r = *m.mutable_rope();
  r.set_theta(c.rope.theta);
  r.set_scaling(static_cast<std::uint32_t>(c.rope.scaling));
  r.set_factor(c.rope.factor);
  r.set_original_positions(c.rope.original_positions);
  r.set_low_freq_factor(c.rope.low_freq_factor);
  r.set_high_freq_factor(c.rope.high_freq_factor);
  r.set_beta_fast(c.rope.beta_fast);
  r.set_beta_slow(c.rope.beta_slow);
  r.set_truncate(c.rope.truncate);
  if (c.rope.attention_factor) r.set_attention_factor(*c.rope.attention_factor);
  r.set_mscale(c.rope.mscale);
  r.set_mscale_all_dim(c.rope.mscale_all_dim);
  r.mutable_divisors()->Add(c.rope.divisors.begin(), c.rope.divisors.end());
  return m;
}

}  // namespace shardlora
