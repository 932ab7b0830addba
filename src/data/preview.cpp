#include "data/preview.h"

#include <fmt/format.h>

#include <span>

namespace shardlora {
namespace {

// `lines`: line ends and tabs stay what they are.
std::string visible(const std::string& text, bool lines) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (lines && (c == '\n' || c == '\t'))
      out += text[i];
    else if (c == '\n' || c == '\t' || c == '\r')
      out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r";
    else if (c < 0x20 || c == 0x7F)
      out += fmt::format("\\x{:02x}", c);
    else if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0)  // C1: 0x80 to 0x9F
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    else
      out += text[i];
  }
  return out;
}

}  // namespace

std::string preview_row(const Sample& sample, const Tokenizer& tokenizer, bool colour) {
  const std::span<const std::int32_t> tokens(sample.tokens);
  std::string out, before;
  for (std::size_t begin = 0; begin < tokens.size();) {
    std::size_t end = begin + 1;
    while (end < tokens.size() && sample.trained[end] == sample.trained[begin]) ++end;
    // What a part adds to those before it: alone, some tokenizers would drop the blank that it begins with.
    const std::string all = tokenizer.decode(tokens.first(end));
    const std::string text = visible(
        all.starts_with(before) ? all.substr(before.size()) : tokenizer.decode(tokens.subspan(begin, end - begin)),
        true);
    before = all;
    if (sample.trained[begin] == 0)
      out += text;
    else
      out += colour ? "\x1b[32m" + text + "\x1b[0m" : "⟦" + text + "⟧";
    begin = end;
  }
  if (!out.ends_with('\n')) out += '\n';
  return out;
}

std::string preview_excerpt(const Sample& sample, const Tokenizer& tokenizer) {
  constexpr std::size_t kLines = 16, kBytes = 1500;
  std::string all = preview_row(sample, tokenizer, false);
  std::size_t end = 0;
  for (std::size_t lines = 0; lines < kLines && end < std::min(all.size(), kBytes); ++end)
    if (all[end] == '\n') ++lines;
  if (end == all.size()) return all;
  while (end > 0 && (static_cast<unsigned char>(all[end]) & 0xC0) == 0x80) --end;  // no half character
  return all.substr(0, end) + " … (the rest: shardlora preview)\n";
}

std::string preview_ids(const Sample& sample, const Tokenizer& tokenizer) {
  std::string out;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    const std::int32_t id = sample.tokens[i];
    out += fmt::format("{:>6} {:>7} {:<7} \"{}\"\n", i, id, sample.trained[i] != 0 ? "trained" : "-",
                       visible(tokenizer.decode({&id, 1}), false));
  }
  return out;
}

}  // namespace shardlora
