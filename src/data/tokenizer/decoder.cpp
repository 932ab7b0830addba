#include "data/tokenizer/decoder.h"

#include "base/ascii.h"
#include "base/utf8.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/json_part.h"
#include "data/tokenizer/normalizer.h"

namespace shardlora {
namespace {

constexpr const char* kKnown = "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace";
constexpr std::string_view kReplacement = "\uFFFD";

class Joined final : public DecoderLink {
 public:
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<Joined>(); }
  void take(std::string_view text, bool is_new) override {
    if (is_new && !first_) next_->take(" ", true);
    first_ = false;
    next_->take(text, is_new);
  }

 private:
  bool first_ = true;
};

// Bytes of all tokens; a character is passed on when it is whole. What makes no character becomes U+FFFD.
class ByteLevelLink final : public DecoderLink {
 public:
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<ByteLevelLink>(); }
  void take(std::string_view text, bool) override {
    const auto bytes = ByteAlphabet::get().bytes(text);
    rest_ += bytes ? *bytes : text;
    pass(false);
  }
  void finish() override { pass(true); }

 private:
  void pass(bool all) {
    std::string out;
    std::size_t at = 0;
    while (at < rest_.size()) {
      const Character c = character_at(rest_, at);
      // A character that is cut off by the end, not by a byte that cannot follow, may still be finished.
      if (!c.valid && at + c.length == rest_.size() && !all && may_continue(at)) break;
      out += c.valid ? std::string_view(rest_).substr(at, c.length) : kReplacement;
      at += c.length;
    }
    rest_.erase(0, at);
    if (out.empty()) return;
    next_->take(out, first_);
    first_ = false;
  }
  bool may_continue(std::size_t at) const {
    const auto lead = static_cast<unsigned char>(rest_[at]);
    return lead >= 0xC2 && lead <= 0xF4;
  }
  std::string rest_;
  bool first_ = true;
};

class ReplaceLink final : public DecoderLink {
 public:
  ReplaceLink(Pattern pattern, std::string by, bool whole)
      : pattern_(std::move(pattern)), by_(std::move(by)), whole_(whole) {}
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<ReplaceLink>(pattern_, by_, whole_); }
  void take(std::string_view text, bool is_new) override {
    if (whole_)
      kept_ += text;
    else
      next_->take(replaced(text), is_new);
  }
  void finish() override {
    if (whole_) next_->take(replaced(kept_), true);
  }

 private:
  std::string replaced(std::string_view text) const {
    std::string out;
    std::size_t done = 0;
    pattern_.find_all(text, [&](std::size_t begin, std::size_t end) {
      out.append(text, done, begin - done).append(by_);
      done = end;
    });
    return out.append(text, done);
  }
  Pattern pattern_;
  std::string by_, kept_;
  bool whole_;  // tokens are fused before: a match may cross them, so only the end tells
};

// A run of <0x..> tokens is one token, if it is UTF-8 altogether, else a U+FFFD for each.
class ByteFallbackLink final : public DecoderLink {
 public:
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<ByteFallbackLink>(); }
  void take(std::string_view text, bool is_new) override {
    if (const int byte = byte_of_spelling(text); byte >= 0) {
      run_ += static_cast<char>(byte);
      return;
    }
    end_run();
    next_->take(text, is_new);
  }
  void finish() override { end_run(); }

 private:
  void end_run() {
    if (run_.empty()) return;
    bool valid = true;
    for (std::size_t at = 0; at < run_.size() && valid;) {
      const Character c = character_at(run_, at);
      valid = c.valid;
      at += c.length;
    }
    if (valid) {
      next_->take(run_, true);
    } else {
      for (std::size_t i = 0; i < run_.size(); ++i) next_->take(kReplacement, true);
    }
    run_.clear();
  }
  std::string run_;
};

class FuseLink final : public DecoderLink {
 public:
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<FuseLink>(); }
  void take(std::string_view text, bool) override {
    next_->take(text, first_);
    first_ = false;
  }

 private:
  bool first_ = true;
};

// Takes up to `start` characters from a token's begin and up to `stop` from its end, as far as they are `content`.
class StripLink final : public DecoderLink {
 public:
  StripLink(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<StripLink>(content_, start_, stop_); }
  void take(std::string_view text, bool is_new) override {
    if (is_new) {
      end_token();
      left_ = start_;
      begins_ = true;
    }
    while (left_ > 0 && text.starts_with(content_)) {
      text.remove_prefix(content_.size());
      --left_;
    }
    if (!text.empty()) left_ = 0;
    // Occurrences at the end are kept back: they may be the token's last.
    std::string all = held_;
    all += text;
    std::size_t end = all.size();
    for (std::size_t n = 0; n < stop_ && std::string_view(all).substr(0, end).ends_with(content_); ++n)
      end -= content_.size();
    held_ = all.substr(end);
    if (end == 0) return;
    next_->take(std::string_view(all).substr(0, end), begins_);
    begins_ = false;
  }
  void finish() override { end_token(); }

 private:
  void end_token() { held_.clear(); }
  std::string content_, held_;
  std::size_t start_, stop_, left_ = 0;
  bool begins_ = true;
};

// The mark becomes a space, and nothing in the first token where the encoder puts one in front.
class MetaspaceLink final : public DecoderLink {
 public:
  MetaspaceLink(std::string mark, bool prepends) : mark_(std::move(mark)), prepends_(prepends) {}
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<MetaspaceLink>(mark_, prepends_); }
  void take(std::string_view text, bool is_new) override {
    if (is_new) ++tokens_;
    std::string out;
    std::size_t done = 0;
    for (std::size_t at = 0; (at = text.find(mark_, at)) != text.npos; at += mark_.size(), done = at) {
      out.append(text, done, at - done);
      if (tokens_ > 1 || !prepends_) out += ' ';
    }
    next_->take(out.append(text, done), is_new);
  }

 private:
  std::string mark_;
  bool prepends_;
  std::size_t tokens_ = 0;
};

class Sink final : public DecoderLink {
 public:
  explicit Sink(std::string& text) : text_(text) {}
  std::unique_ptr<DecoderLink> fresh() const override { return std::make_unique<Sink>(text_); }
  void take(std::string_view text, bool) override { text_ += text; }

 private:
  std::string& text_;
};

}  // namespace

int byte_of_spelling(std::string_view token) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = digit(token[3]), low = digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Decoder::Decoder() { links_.push_back(std::make_shared<Joined>()); }

Decoder Decoder::of(const JsonPart& part) {
  Decoder decoder;
  decoder.links_.clear();
  decoder.add(part);
  return decoder;
}

Decoder Decoder::byte_level() {
  Decoder decoder;
  decoder.links_.clear();
  decoder.add_byte_level();
  return decoder;
}

Decoder Decoder::sentence_piece(bool strip_first_space) {
  Decoder decoder;
  decoder.links_.clear();
  decoder.add_replace(Pattern::literal("\u2581"), " ");
  decoder.add_byte_fallback();
  decoder.add_fuse();
  if (strip_first_space) decoder.add_strip(" ", 1, 0);
  return decoder;
}

void Decoder::add(const JsonPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const nlohmann::json& link : part.list("decoders")) add({link, part.where()});
  } else if (type == "ByteLevel") {
    add_byte_level();
  } else if (type == "Replace") {
    add_replace(pattern_of(part), part.text("content"));
  } else if (type == "ByteFallback") {
    add_byte_fallback();
  } else if (type == "Fuse") {
    add_fuse();
  } else if (type == "Strip") {
    const std::string content = part.text("content");
    const Character c = content.empty() ? Character{} : character_at(content, 0);
    if (!c.valid || c.length != content.size()) fail("{}: \"content\" must be one character", part.where());
    const std::int64_t start = part.integer("start", 0), stop = part.integer("stop", 0);
    if (start < 0 || stop < 0) fail("{}: \"start\" and \"stop\" must not be negative", part.where());
    add_strip(content, static_cast<std::size_t>(start), static_cast<std::size_t>(stop));
  } else if (type == "Metaspace") {
    if (fused_) fail("{}: Metaspace after a decoder that joins tokens is not supported", part.where());
    const bool prepends = part.text("prepend_scheme", "always") != "never" && part.boolean("add_prefix_space", true);
    links_.push_back(std::make_shared<MetaspaceLink>(part.text("replacement", "\u2581"), prepends));
  } else {
    part.refuse(kKnown);
  }
}

void Decoder::add_byte_level() {
  if (fused_) fail("the tokenizer's decoder has ByteLevel after a decoder that joins tokens; this is not supported");
  links_.push_back(std::make_shared<ByteLevelLink>());
  byte_level_ = fused_ = true;
}

void Decoder::add_replace(const Pattern& pattern, const std::string& by) {
  links_.push_back(std::make_shared<ReplaceLink>(pattern, by, fused_));
}

void Decoder::add_byte_fallback() {
  if (fused_) fail("the tokenizer's decoder has ByteFallback after a decoder that joins tokens; this is not supported");
  links_.push_back(std::make_shared<ByteFallbackLink>());
  byte_fallback_ = true;
}

void Decoder::add_fuse() {
  if (!fused_) links_.push_back(std::make_shared<FuseLink>());
  fused_ = true;
}

void Decoder::add_strip(const std::string& character, std::size_t start, std::size_t stop) {
  links_.push_back(std::make_shared<StripLink>(character, start, stop));
}

Decoder::Stream::Stream(const Decoder& decoder) {
  for (const auto& link : decoder.links_) links_.push_back(link->fresh());
  links_.push_back(std::make_unique<Sink>(text));
  for (std::size_t i = 0; i + 1 < links_.size(); ++i) links_[i]->pass_on_to(links_[i + 1].get());
}

void Decoder::Stream::take(std::string_view token) { links_.front()->take(token, true); }

void Decoder::Stream::finish() {
  for (const auto& link : links_) link->finish();
}

std::string Decoder::bytes_of(std::string_view token) const {
  if (byte_level_) return ByteAlphabet::get().bytes(token).value_or(std::string(token));
  if (const int byte = byte_fallback_ ? byte_of_spelling(token) : -1; byte >= 0) return {static_cast<char>(byte)};
  std::string out(token);
  for (const auto& link : links_) {
    if (dynamic_cast<const ReplaceLink*>(link.get()) == nullptr) continue;
    std::string replaced;
    Sink sink(replaced);
    const auto fresh = link->fresh();
    fresh->pass_on_to(&sink);
    fresh->take(out, true);
    fresh->finish();
    out = replaced;
  }
  return out;
}

}  // namespace shardlora
