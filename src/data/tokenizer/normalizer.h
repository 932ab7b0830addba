// What a tokenizer file does to text before it is cut: "normalizer" of tokenizer.json. Immutable and cheap to copy.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer/aligned_text.h"
#include "data/tokenizer/pattern.h"
#include "data/tokenizer/unicode_normalization.h"

namespace shardlora {

class JsonPart;

class Normalizer {
 public:
  Normalizer() = default;  // changes nothing
  // An unknown type is an Error that lists the known ones.
  static Normalizer of(const JsonPart& part);

  void add_prepend(std::string text);  // in front of a piece that is not empty
  void add_replace(Pattern pattern, std::string by);
  void add_form(NormalizationForm form);

  // `goes_on`: other text comes right before it, so nothing is put in front.
  AlignedText apply(AlignedText text, bool goes_on = false) const;

 private:
  using Step = std::function<AlignedText(const AlignedText&, bool goes_on)>;
  void add(const JsonPart& part);
  std::vector<Step> steps_;
};

// {"String": ...} or {"Regex": ...} under "pattern".
Pattern pattern_of(const JsonPart& part);

}  // namespace shardlora
