#include "data/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <array>

#include "base/utf8.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/json_part.h"

namespace shardlora {
namespace {

constexpr const char* kKnown = "Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, ByteLevel";

AlignedText lowercase(const AlignedText& aligned, bool) {
  const std::string& text = aligned.text();
  Rewrite rewrite(aligned);
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    std::array<utf8proc_uint8_t, 4> bytes{};
    const utf8proc_ssize_t n =
        utf8proc_encode_char(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code_point)), bytes.data());
    std::string lower(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
    if (c.code_point == 0x130) lower = "i\u0307";  // the one whose lower case is two characters
    rewrite.put(lower, at, at + c.length);
    at += c.length;
  }
  return rewrite.done();
}

AlignedText strip(const AlignedText& aligned, bool left, bool right) {
  const std::string& text = aligned.text();
  std::size_t begin = text.size(), end = text.size();  // of what is not white space
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (!CodePoints::white_space().contains(c.code_point)) begin = std::min(begin, at), end = at + c.length;
    at += c.length;
  }
  if (begin == text.size()) end = begin;  // nothing but white space: either side takes it all
  if (!left && begin < text.size()) begin = 0;
  if (!right && begin < text.size()) end = text.size();
  if (!left && !right) begin = 0, end = text.size();
  Rewrite rewrite(aligned);
  rewrite.keep(begin, end);
  return rewrite.done();
}

AlignedText byte_level(const AlignedText& aligned, bool) {
  Rewrite rewrite(aligned);
  for (std::size_t at = 0; at < aligned.text().size(); ++at)
    rewrite.put(ByteAlphabet::get().spelling(static_cast<std::uint8_t>(aligned.text()[at])), at, at + 1);
  return rewrite.done();
}

}  // namespace

Pattern pattern_of(const JsonPart& part) {
  const JsonPart pattern = part.part("pattern");
  if (pattern.has("Regex")) return Pattern::regex(pattern.text("Regex"), pattern.where());
  return Pattern::literal(pattern.text("String"));
}

Normalizer Normalizer::of(const JsonPart& part) {
  Normalizer normalizer;
  normalizer.add(part);
  return normalizer;
}

void Normalizer::add(const JsonPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const nlohmann::json& step : part.list("normalizers")) add({step, part.where()});
  } else if (type == "Prepend") {
    add_prepend(part.text("prepend"));
  } else if (type == "Replace") {
    add_replace(pattern_of(part), part.text("content"));
  } else if (type == "NFC") {
    add_form(NormalizationForm::kNFC);
  } else if (type == "NFD") {
    add_form(NormalizationForm::kNFD);
  } else if (type == "NFKC") {
    add_form(NormalizationForm::kNFKC);
  } else if (type == "NFKD") {
    add_form(NormalizationForm::kNFKD);
  } else if (type == "Lowercase") {
    steps_.emplace_back(lowercase);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(byte_level);
  } else if (type == "Strip") {
    const bool left = part.boolean("strip_left", true), right = part.boolean("strip_right", true);
    steps_.emplace_back([left, right](const AlignedText& text, bool) { return strip(text, left, right); });
  } else {
    part.refuse(kKnown);
  }
}

void Normalizer::add_prepend(std::string prefix) {
  steps_.emplace_back([prefix = std::move(prefix)](const AlignedText& text, bool goes_on) {
    Rewrite rewrite(text);
    if (!text.text().empty() && !goes_on) rewrite.put(prefix, 0, 0);
    rewrite.keep(0, text.text().size());
    return rewrite.done();
  });
}

void Normalizer::add_replace(Pattern pattern, std::string by) {
  steps_.emplace_back([pattern = std::move(pattern), by = std::move(by)](const AlignedText& text, bool) {
    Rewrite rewrite(text);
    std::size_t kept = 0;
    pattern.find_all(text.text(), [&](std::size_t begin, std::size_t end) {
      rewrite.keep(kept, begin);
      rewrite.put(by, begin, end);
      kept = end;
    });
    rewrite.keep(kept, text.text().size());
    return rewrite.done();
  });
}

void Normalizer::add_form(NormalizationForm form) {
  steps_.emplace_back([form](const AlignedText& text, bool) { return normalized(text, form); });
}

AlignedText Normalizer::apply(AlignedText text, bool goes_on) const {
  for (const Step& step : steps_) text = step(text, goes_on);
  return text;
}

}  // namespace shardlora
