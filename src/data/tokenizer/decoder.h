// Tokens back to text, one at a time: "decoder" of tokenizer.json. A stream gives text as soon as no later token can
// change it, and all it gives together is what `tokenizers` makes of the whole list.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/pattern.h"

namespace shardlora {

class JsonPart;

// One link of the chain. A link gets tokens (or, after one that fuses them, parts of a single token) and passes on what
// it makes of them.
class DecoderLink {
 public:
  virtual ~DecoderLink() = default;
  virtual std::unique_ptr<DecoderLink> fresh() const = 0;  // in the state before the first token
  // `is_new`: a token begins here, and the one before it is over.
  virtual void take(std::string_view text, bool is_new) = 0;
  virtual void finish() {}

  void pass_on_to(DecoderLink* next) { next_ = next; }

 protected:
  DecoderLink* next_ = nullptr;
};

class Decoder {
 public:
  Decoder();  // none: tokens with spaces between them
  // An unknown type is an Error that lists the known ones.
  static Decoder of(const JsonPart& part);
  static Decoder byte_level();
  static Decoder sentence_piece(bool strip_first_space);

  class Stream {
   public:
    explicit Stream(const Decoder& decoder);
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    void take(std::string_view token);  // as the vocabulary spells it
    void finish();                      // once, after the last
    std::string text;                   // what is certain; the caller may empty it

   private:
    std::vector<std::unique_ptr<DecoderLink>> links_;
  };

  // What one token stands for by itself; these bytes need not be whole characters.
  std::string bytes_of(std::string_view token) const;

 private:
  void add(const JsonPart& part);
  void add_byte_level();
  void add_replace(const Pattern& pattern, const std::string& by);
  void add_byte_fallback();
  void add_fuse();
  void add_strip(const std::string& character, std::size_t start, std::size_t stop);

  std::vector<std::shared_ptr<const DecoderLink>> links_;
  bool byte_level_ = false, byte_fallback_ = false;
  bool fused_ = false;  // what the last link passes on is one token
};

// The byte of "<0x0A>", or -1.
int byte_of_spelling(std::string_view token);

}  // namespace shardlora
