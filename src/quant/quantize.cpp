#include "quant/quantize.h"

#include <vector>

#include "quant/codec.h"

namespace shardlora {

std::int64_t grain_of(const Format& format) { return row_of(format.codec).grain(format); }

std::int64_t run_of(const Format& format) {
  const CodecRow& row = row_of(format.codec);
  return row.run == nullptr ? row.grain(format) : row.run(format);
}

SectionBytes section_starts(const Format& format, std::int64_t begin) {
  const std::int64_t run = run_of(format);
  CHECK(begin % run == 0, "values from {} on are no run of {}", begin, name_of(format));
  SectionBytes starts = section_bytes(format, {begin});
  const SectionBytes one = section_bytes(format, {run}), two = section_bytes(format, {2 * run});
  for (std::size_t s = 0; s < starts.size(); ++s)
    if (one[s] == two[s]) starts[s] = 0;
  return starts;
}

std::int64_t scales_of(const Format& format, std::int64_t numel) {
  if (row_of(format.codec).finish == nullptr) return 0;
  const std::int64_t grain = grain_of(format);
  return (numel + grain - 1) / grain;
}

void encode_values(const Format& format, std::span<const float> values, std::int64_t begin, const Sections& sections,
                   std::span<float> scales) {
  const CodecRow& row = row_of(format.codec);
  CHECK(row.encode != nullptr, "{} is read, never made", row.name);
  CHECK(begin % row.grain(format) == 0, "values from {} on do not start a block", begin);
  row.encode(format, values, begin, sections, scales);
}

void finish_sections(const Format& format, const Sections& sections, std::span<const float> scales) {
  const CodecRow& row = row_of(format.codec);
  if (row.finish != nullptr) row.finish(format, sections, scales);
}

void quantize(const Format& format, std::span<const float> values, const Sections& sections) {
  if (values.empty()) return;
  std::vector<float> scales(static_cast<std::size_t>(scales_of(format, std::ssize(values))));
  encode_values(format, values, 0, sections, scales);
  finish_sections(format, sections, scales);
}

void dequantize(const PackedTensor& tensor, std::int64_t begin, std::span<float> out) {
  const std::int64_t end = begin + std::ssize(out), grain = grain_of(tensor.format), numel = tensor.shape.numel();
  CHECK(0 <= begin && end <= numel, "values [{}, {}) of {}", begin, end, tensor.shape.text());
  CHECK(begin % grain == 0 && (end % grain == 0 || end == numel), "values [{}, {}) do not fall on blocks of {}", begin,
        end, grain);
  row_of(tensor.format.codec).decode(tensor, begin, out);
}

void dequantize(const Format& format, const Shape& shape, const ReadSection& read, std::int64_t begin,
                std::span<float> out) {
  CHECK(begin + std::ssize(out) <= shape.numel(), "values [{}, {}) of {}", begin, begin + std::ssize(out),
        shape.text());
  const std::int64_t run = run_of(format), from = begin / run * run;
  PackedTensor part{format, {begin + std::ssize(out) - from}, {}};
  const SectionBytes starts = section_starts(format, from), bytes = section_bytes(format, part.shape);
  std::array<std::vector<float>, kSections> memory;  // floats: aligned for whatever lies in them
  for (std::size_t s = 0; s < memory.size(); ++s) {
    if (bytes[s] == 0) continue;
    memory[s].resize((bytes[s] + sizeof(float) - 1) / sizeof(float));
    auto* const to = reinterpret_cast<std::byte*>(memory[s].data());
    read(static_cast<int>(s), {to, bytes[s]}, starts[s]);
    part.sections[s] = to;
  }
  dequantize(part, begin - from, out);
}

}  // namespace shardlora
