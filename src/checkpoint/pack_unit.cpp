#include "checkpoint/pack_unit.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <vector>

#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr std::int64_t kPieceValues = std::int64_t{1} << 17;  // 512 KiB of f32 a thread; even a small layer has some

struct Source {
  PackedTensor packed;  // where its sections come to lie
  const ParamSpec* param;
  StoredName name;
  bool as_stored;  // the base holds the parameter's format: its bytes are taken over
  Sections sections{};
  std::vector<float> scales;
};

// A slice of what has to be encoded with means over the whole tensor.
bool is_made_whole(const BaseModel& base, const NameOf& name_of, const ParamSpec& param) {
  return param.sliced() && !param.trainable && scales_of(param.format, 1) > 0 &&
         base.stored_format(name_of(param.name)) != param.format;
}

// Makes all of the stored tensor, and takes the slice out of it: the bytes that it has out of a prepared base.
void pack_out_of_whole(const BaseModel& base, const NameOf& name_of, const UnitLayout& layout, std::size_t p,
                       std::byte* flat) {
  const ParamSpec& param = layout.spec().params[p];
  const UnitSpec whole{param.name, {{param.name, param.stored_shape(), param.format}}};
  const UnitLayout from(whole);
  std::vector<std::byte> all(from.frozen_bytes());
  pack_unit(base, name_of, from, all);
  const SectionBytes bytes = section_bytes(param.format, param.shape),
                     starts = section_starts(param.format, param.first_value());
  for (std::size_t s = 0; s < bytes.size(); ++s) {
    const int section = static_cast<int>(s);
    std::copy_n(all.data() + from.section_offset(0, section) + starts[s], bytes[s],
                flat + layout.section_offset(p, section));
  }
}

struct Piece {
  std::size_t source;
  std::int64_t first_row, rows;
};

std::vector<Source> sources_of(const BaseModel& base, const NameOf& name_of, const UnitLayout& layout,
                               std::byte* flat) {
  std::vector<Source> sources;
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.trainable || param.shape.numel() == 0 || is_made_whole(base, name_of, param)) continue;
    Source source{{param.format, param.shape, {}}, &param, name_of(param.name), false, {}, {}};
    for (std::size_t s = 0; s < source.sections.size(); ++s)
      source.packed.sections[s] = source.sections[s] = flat + layout.section_offset(p, static_cast<int>(s));
    source.as_stored = !param.format.dense() && base.stored_format(source.name) == param.format;
    if (source.as_stored) {
      const SectionBytes bytes = section_bytes(param.format, param.shape),
                         starts = section_starts(param.format, param.first_value());
      for (int s = 1; s < kSections; ++s) {
        const auto at = static_cast<std::size_t>(s);
        if (bytes[at] > 0) base.read_section(source.name, s, {source.sections[at], bytes[at]}, starts[at]);
      }
    } else {
      source.scales.resize(static_cast<std::size_t>(scales_of(param.format, param.shape.numel())));
    }
    sources.push_back(std::move(source));
  }
  return sources;
}

// Runs of rows that begin both where the file can be read and where a block of the format starts.
std::vector<Piece> pieces_of(const BaseModel& base, const std::vector<Source>& sources) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const ParamSpec& param = *sources[i].param;
    const std::int64_t length = row_length(param.shape), grain = grain_of(param.format);
    CHECK(length > 0 && grain > 0, "{} has rows of {} values", param.name, length);
    const std::int64_t together = std::lcm(base.row_grain(sources[i].name, param), grain / std::gcd(grain, length));
    const std::int64_t rows = std::max<std::int64_t>(1, kPieceValues / (together * length)) * together;
    for (std::int64_t row = 0; row < param.shape[0]; row += rows)
      pieces.push_back({i, row, std::min(rows, param.shape[0] - row)});
  }
  return pieces;
}

// `values`: a thread's memory for a piece.
void pack(const BaseModel& base, const Piece& piece, Source& source, std::vector<float>& values) {
  const ParamSpec& param = *source.param;
  const std::int64_t length = row_length(param.shape), begin = piece.first_row * length;
  values.resize(static_cast<std::size_t>(piece.rows * length));
  if (!source.as_stored) {
    base.read_rows(source.name, param, piece.first_row, values);
    encode_values(param.format, values, begin, source.sections, source.scales);
    return;
  }
  const auto bytes_of = [&](std::int64_t n) { return section_bytes(param.format, {n})[0]; };
  const std::size_t first = bytes_of(begin), last = bytes_of(begin + std::ssize(values));
  base.read_packed_rows(source.name, param, piece.first_row, {source.sections[0] + first, last - first});
  dequantize(source.packed, begin, values);
  base.check_finite(source.name, values);
}

}  // namespace

void pack_unit(const BaseModel& base, const NameOf& name_of, const UnitLayout& layout, std::span<std::byte> flat) {
  CHECK(flat.size() >= layout.frozen_bytes(), "{} bytes for a unit of {}", flat.size(), layout.frozen_bytes());
  std::fill(flat.begin(), flat.end(), std::byte{0});
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p)
    if (is_made_whole(base, name_of, layout.spec().params[p])) pack_out_of_whole(base, name_of, layout, p, flat.data());
  std::vector<Source> sources = sources_of(base, name_of, layout, flat.data());
  const std::vector<Piece> pieces = pieces_of(base, sources);

  std::exception_ptr failure;  // an exception must not leave a parallel region
#pragma omp parallel
  {
    std::vector<float> values;
#pragma omp for schedule(dynamic)
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      try {
        pack(base, pieces[i], sources[pieces[i].source], values);
      } catch (...) {
#pragma omp critical(pack_unit_failure)
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (const Source& source : sources)
    if (!source.as_stored) finish_sections(source.param->format, source.sections, source.scales);
}

namespace {

// Bytes [left, right) of the unit out of the sections of a slice as they lie in a prepared base: runs of the whole's.
void pack_slice(const BaseModel& base, const UnitLayout& layout, std::size_t p, std::size_t left,
                std::span<std::byte> out) {
  const ParamSpec& param = layout.spec().params[p];
  const SectionBytes bytes = section_bytes(param.format, param.shape),
                     starts = section_starts(param.format, param.first_value());
  const ParamLayout whole = layout_of(param.format, param.stored_shape());
  std::fill(out.begin(), out.end(), std::byte{0});
  for (std::size_t s = 0; s < bytes.size(); ++s) {
    const std::size_t at = layout.section_offset(p, static_cast<int>(s)), from = std::max(left, at),
                      to = std::min(left + out.size(), at + bytes[s]);
    if (from < to)
      base.read_bytes(base.name_of(param.name), out.subspan(from - left, to - from),
                      whole.sections[s] + starts[s] + (from - at));
  }
}

}  // namespace

bool can_pack_share(const BaseModel& base, const UnitLayout& layout) {
  if (!base.is_prepared()) return false;
  for (const ParamSpec& param : layout.spec().params) {
    if (param.trainable) continue;
    const std::optional<Format> stored = base.stored_format(base.name_of(param.name));
    if (stored != param.format && !(param.format.dense() && stored && stored->dense())) return false;
  }
  return true;
}

void pack_share(const BaseModel& base, const UnitLayout& layout, std::size_t begin, std::span<std::byte> out) {
  const std::size_t end = begin + out.size();
  std::vector<float> values;
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.trainable) continue;
    const StoredName name = base.name_of(param.name);
    const Format stored = base.stored_format(name).value();
    const std::size_t at = layout.section_offset(p, 0), left = std::max(begin, at),
                      right = std::min(end, layout.end_of(p));
    if (left >= right) continue;
    const std::span<std::byte> here = out.subspan(left - begin, right - left);
    if (stored == param.format && param.sliced()) {
      pack_slice(base, layout, p, left, here);
      continue;
    }
    if (stored == param.format) {
      base.read_bytes(name, here, left - at);
      continue;
    }
    CHECK(param.format.dense() && stored.dense(), "a share of {} cannot be made of {}", name_of(param.format),
          name_of(stored));
    const std::size_t size = size_of(dtype_of(param.format.codec)),
                      last = std::min(right, at + static_cast<std::size_t>(param.shape.numel()) * size);
    std::fill(here.begin(), here.end(), std::byte{0});
    if (left >= last) continue;
    values.resize((last - left) / size);
    base.read_values(name, values, param.first_value() + static_cast<std::int64_t>((left - at) / size));
    quantize(param.format, values, {here.data()});
  }
}

void pack_unit(const BaseModel& base, const UnitLayout& layout, std::span<std::byte> flat) {
  pack_unit(base, [&](const std::string& parameter) { return base.name_of(parameter); }, layout, flat);
}

}  // namespace shardlora
