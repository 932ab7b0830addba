// Formats without a template: whole texts, segments with a label each, and tokens.
#include "data/formats/record_format.h"

#include <nlohmann/json.hpp>

#include "data/rows/bad_rows.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

// Labels of tokens that don't train.
constexpr std::int64_t kMasked = -100;

std::vector<std::int64_t> integers_under(const Json& row, const std::string& key) {
  const auto list = row.find(key);
  if (list == row.end()) bad_row("\"{}\" is missing; the row has {}", key, keys_of(row));
  if (!list->is_array()) bad_row("\"{}\" must be a list of whole numbers", key);
  std::vector<std::int64_t> out;
  out.reserve(list->size());
  for (const Json& value : *list) {
    if (!value.is_number_integer()) bad_row("\"{}\" must be a list of whole numbers", key);
    out.push_back(value.get<std::int64_t>());
  }
  return out;
}

}  // namespace

Record read_completion(const Json& row, const DatasetSource& source) {
  const std::string& text = text_under(row, source.field.empty() ? "text" : source.field);
  if (text.empty()) bad_row("the text is empty");
  return PlainText{.pieces = {{text, true, true}}, .split = true};
}

Record read_segments(const Json& row, const DatasetSource&) {
  const auto list = row.find("segments");
  if (list == row.end()) bad_row("\"segments\" is missing; the row has {}", keys_of(row));
  if (!list->is_array() || list->empty()) bad_row("\"segments\" must be a list with at least one segment");
  Segments segments;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Json& segment = (*list)[i];
    if (!segment.is_object()) bad_row("segment {}: not a JSON object", i + 1);
    const auto text = segment.find("text"), label = segment.find("label");
    if (text == segment.end() || !text->is_string()) bad_row("segment {}: \"text\" must be there, as text", i + 1);
    if (label == segment.end() || !label->is_boolean())
      bad_row("segment {}: \"label\" must be there, true (trains) or false", i + 1);
    segments.pieces.push_back({text->get<std::string>(), label->get<bool>()});
  }
  return segments;
}

Record read_token_row(const Json& row, const DatasetSource&) {
  const std::vector<std::int64_t> ids = integers_under(row, "input_ids");
  const bool has_labels = row.contains("labels"), has_mask = row.contains("attention_mask");
  const std::vector<std::int64_t> labels = has_labels ? integers_under(row, "labels") : ids;
  const std::vector<std::int64_t> mask =
      has_mask ? integers_under(row, "attention_mask") : std::vector<std::int64_t>(ids.size(), 1);
  if (labels.size() != ids.size() || mask.size() != ids.size())
    bad_row("{} input_ids, {} labels and {} of attention_mask; they must be as many", ids.size(), labels.size(),
            mask.size());
  TokenRow tokens;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (mask[i] == 0) continue;  // padding
    if (ids[i] < 0 || ids[i] > 0x7FFFFFFF) bad_row("input_ids[{}] is {}, which is no token", i, ids[i]);
    if (labels[i] != kMasked && labels[i] != ids[i])
      bad_row("labels[{}] is {}, neither -100 nor the token itself ({}); labels are not shifted", i, labels[i], ids[i]);
    tokens.ids.push_back(static_cast<std::int32_t>(ids[i]));
    tokens.trained.push_back(labels[i] != kMasked);
  }
  return tokens;
}

}  // namespace shardlora
