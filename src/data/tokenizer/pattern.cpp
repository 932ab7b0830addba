#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <ctime>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "data/tokenizer/regex_alphabet.h"

namespace shardlora {
namespace {

constexpr std::uint32_t kMatchLimit = 2'000'000, kDepthLimit = 1'000, kHeapKiB = 65'536;
constexpr std::size_t kJitStackStart = 32 << 10, kJitStackMost = 4 << 20;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Code = std::unique_ptr<pcre2_code, Freed<pcre2_code_free>>;

Code compile(const std::string& pattern, std::uint32_t options, std::string_view what) {
  int error = 0;
  PCRE2_SIZE at = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, &error, &at, nullptr));
  if (code) return code;
  std::array<PCRE2_UCHAR, 200> reason{};
  pcre2_get_error_message(error, reason.data(), reason.size());
  fail("{}: the pattern cannot be used: {}", what, reinterpret_cast<const char*>(reason.data()));
}

// What a thread needs to match, kept between calls.
struct Workspace {
  std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>> match{pcre2_match_data_create(1, nullptr)};
  std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> context{pcre2_match_context_create(nullptr)};
  std::unique_ptr<pcre2_jit_stack, Freed<pcre2_jit_stack_free>> stack{
      pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)};

  Workspace() {
    CHECK(match && context, "no memory for a match");
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    pcre2_set_heap_limit(context.get(), kHeapKiB);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

struct Mapped {
  std::string bytes;                   // one a character
  std::vector<std::uint32_t> offsets;  // of each of them in the text, and the text's end; empty where they are the same
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// A pattern that is quadratic on a text passes every single limit; this ends it.
class Patience {
 public:
  explicit Patience(std::size_t bytes) : seconds_(5 + 2e-6 * static_cast<double>(bytes)) {}
  void attempt() {
    if (++attempts_ % 1024 != 0) return;
    const double now = cpu_seconds();
    if (attempts_ == 1024) start_ = now;
    if (now - start_ > seconds_) fail("the tokenizer's pattern takes too long on this text; split the row");
  }

 private:
  double seconds_, start_ = 0;
  std::uint64_t attempts_ = 0;
};

}  // namespace

struct Pattern::Compiled {
  Compiled(RegexAlphabet alphabet, std::string_view what)
      : bytes(std::move(alphabet.bytes)), code(compile(alphabet.pattern, kOptions | PCRE2_ANCHORED, what)) {
    // Where there is no JIT the interpreter gives the same matches.
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    // Attempts are anchored, so that each has its own limits; the study of the same pattern unanchored tells where one
    // is worth while.
    const Code free = compile(alphabet.pattern, kOptions, what);
    std::uint32_t may_be_empty = 0, first_kind = 0, first = 0;
    const std::uint8_t* bitmap = nullptr;
    pcre2_pattern_info(free.get(), PCRE2_INFO_MATCHEMPTY, &may_be_empty);
    pcre2_pattern_info(free.get(), PCRE2_INFO_FIRSTCODETYPE, &first_kind);
    pcre2_pattern_info(free.get(), PCRE2_INFO_FIRSTCODEUNIT, &first);
    pcre2_pattern_info(free.get(), PCRE2_INFO_FIRSTBITMAP, &bitmap);
    starts.set();
    if (may_be_empty != 0) return;
    if (first_kind == 1)
      starts.reset().set(first);
    else if (bitmap != nullptr)
      for (std::size_t b = 0; b < 256; ++b) starts[b] = ((bitmap[b / 8] >> (b % 8)) & 1) != 0;
  }

  Mapped map(std::string_view text) const {
    Mapped mapped;
    mapped.bytes.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80 && mapped.offsets.empty()) {
        mapped.bytes += static_cast<char>(bytes[byte]);
        ++at;
        continue;
      }
      if (mapped.offsets.empty())
        for (std::uint32_t i = 0; i < at; ++i) mapped.offsets.push_back(i);
      const Character c = character_at(text, at);
      mapped.bytes += static_cast<char>(bytes[c.code_point]);
      mapped.offsets.push_back(static_cast<std::uint32_t>(at));
      at += c.length;
    }
    if (!mapped.offsets.empty()) mapped.offsets.push_back(static_cast<std::uint32_t>(text.size()));
    return mapped;
  }

  static constexpr std::uint32_t kOptions = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C;
  std::vector<std::uint8_t> bytes;  // [code point]
  Code code;
  std::bitset<256> starts;  // what a match can begin with
};

Pattern Pattern::regex(std::string_view regex, std::string_view what) {
  Pattern pattern;
  pattern.compiled_ = std::make_shared<const Compiled>(RegexAlphabet::of(regex, what), what);
  return pattern;
}

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::one_of(const CodePoints& set) {
  Pattern pattern;
  pattern.compiled_ = std::make_shared<const Compiled>(RegexAlphabet::of(set), "a set");
  return pattern;
}

void Pattern::find_all(std::string_view text, const std::function<void(std::size_t, std::size_t)>& found) const {
  if (text.empty()) return;
  if (!compiled_) {
    for (std::size_t at = 0; !literal_.empty() && (at = text.find(literal_, at)) != text.npos; at += literal_.size())
      found(at, at + literal_.size());
    return;
  }
  thread_local Workspace workspace;
  const auto [bytes, offsets] = compiled_->map(text);
  const auto offset = [&offsets = offsets](std::size_t i) { return offsets.empty() ? i : offsets[i]; };
  pcre2_set_match_limit(workspace.context.get(), kMatchLimit + static_cast<std::uint32_t>(std::min<std::size_t>(
                                                                   bytes.size() * 8, 1'000'000'000)));
  Patience patience(bytes.size());
  std::size_t last_end = bytes.size() + 1;  // of the last match
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    while (at < bytes.size() && !compiled_->starts[static_cast<unsigned char>(bytes[at])]) ++at;
    patience.attempt();
    const int result = pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(bytes.data()), bytes.size(), at,
                                   0, workspace.match.get(), workspace.context.get());
    if (result == PCRE2_ERROR_NOMATCH) continue;
    if (result < 0)
      fail("the tokenizer's pattern gave up on a word of the text (PCRE2 error {}); shorten the row", result);
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(workspace.match.get());
    const std::size_t begin = span[0], end = span[1];
    if (begin == end && begin == last_end) continue;
    last_end = end;
    found(offset(begin), offset(end));
    at = end - 1;  // the next attempt is at the end; it wraps round where that is 0
  }
}

}  // namespace shardlora
