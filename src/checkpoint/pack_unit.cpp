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
  const ParamSpec* param;
  StoredName name;
  Sections sections{};
  std::vector<float> absmax;
};

struct Piece {
  std::size_t source;
  std::int64_t first_row, rows;
};

std::vector<Source> sources_of(const std::function<StoredName(const ParamSpec&)>& name_of, const UnitLayout& layout,
                               std::byte* flat) {
  std::vector<Source> sources;
  for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
    const ParamSpec& param = layout.spec().params[p];
    if (param.trainable || param.shape.numel() == 0) continue;
    Source source{&param, name_of(param), {}, {}};
    for (int s = 0; s < kSections; ++s)
      source.sections[static_cast<std::size_t>(s)] = flat + layout.section_offset(p, s);
    source.absmax.resize(static_cast<std::size_t>(blocks_of(param.format, param.shape.numel())));
    sources.push_back(std::move(source));
  }
  return sources;
}

// Runs of rows that begin both where the file can be read and where a block of the format starts.
std::vector<Piece> pieces_of(const BaseModel& base, const std::vector<Source>& sources) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const ParamSpec& param = *sources[i].param;
    const std::int64_t length = row_length(param.shape), grain = encode_grain(param.format);
    CHECK(length > 0 && grain > 0, "{} has rows of {} values", param.name, length);
    const std::int64_t together = std::lcm(base.row_grain(sources[i].name, param), grain / std::gcd(grain, length));
    const std::int64_t rows = std::max<std::int64_t>(1, kPieceValues / (together * length)) * together;
    for (std::int64_t row = 0; row < param.shape[0]; row += rows)
      pieces.push_back({i, row, std::min(rows, param.shape[0] - row)});
  }
  return pieces;
}

void encode(const BaseModel& base, const Piece& piece, Source& source, std::vector<float>& values) {
  const std::int64_t length = row_length(source.param->shape);
  values.resize(static_cast<std::size_t>(piece.rows * length));
  base.read_rows(source.name, *source.param, piece.first_row, values);
  encode_values(source.param->format, values, piece.first_row * length, source.sections, source.absmax);
}

}  // namespace

void pack_unit(const BaseModel& base, const std::function<StoredName(const ParamSpec&)>& name_of,
               const UnitLayout& layout, std::span<std::byte> flat) {
  CHECK(flat.size() >= layout.frozen_bytes(), "{} bytes for a unit of {}", flat.size(), layout.frozen_bytes());
  std::fill(flat.begin(), flat.end(), std::byte{0});
  std::vector<Source> sources = sources_of(name_of, layout, flat.data());
  const std::vector<Piece> pieces = pieces_of(base, sources);

  std::exception_ptr failure;  // an exception must not leave a parallel region
#pragma omp parallel
  {
    std::vector<float> values;
#pragma omp for schedule(dynamic)
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      try {
        encode(base, pieces[i], sources[pieces[i].source], values);
      } catch (...) {
#pragma omp critical(pack_unit_failure)
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
  for (const Source& source : sources) finish_sections(source.param->format, source.sections, source.absmax);
}

void pack_unit(const BaseModel& base, const ModelSpec& model, const UnitLayout& layout, std::span<std::byte> flat) {
  pack_unit(base, [&](const ParamSpec& param) { return base.name_of(model, param); }, layout, flat);
}

}  // namespace shardlora
