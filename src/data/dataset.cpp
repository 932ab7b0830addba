#include "data/dataset.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>

#include "base/file.h"
#include "io/json.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxLine = std::size_t{64} << 20;
constexpr std::size_t kChunk = std::size_t{1} << 20;

// Lines of a file, one at a time, whatever its size.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : file_(path) {}

  // False at the end of the file.
  bool next(std::string& line) {
    ++number_;
    line.clear();
    while (true) {
      const auto newline = std::find(chunk_.begin() + static_cast<std::ptrdiff_t>(at_), chunk_.end(), '\n');
      line.append(chunk_.begin() + static_cast<std::ptrdiff_t>(at_), newline);
      if (line.size() > kMaxLine)
        fail("{}:{}: a line of more than {} MB; is this a JSONL file, one row a line?", file_.path().string(), number_,
             kMaxLine >> 20);
      at_ = static_cast<std::size_t>(newline - chunk_.begin());
      if (newline != chunk_.end()) {
        ++at_;
        break;
      }
      if (!fill()) {
        if (line.empty()) return false;
        break;
      }
    }
    if (line.ends_with('\r')) line.pop_back();
    if (number_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a byte order mark
    return true;
  }
  std::int64_t number() const { return number_; }

 private:
  bool fill() {
    const std::uint64_t left = file_.size() - offset_;
    if (left == 0) return false;
    chunk_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left, kChunk)));
    file_.read_at(offset_, std::as_writable_bytes(std::span(chunk_)));
    offset_ += chunk_.size();
    at_ = 0;
    return true;
  }

  File file_;
  std::uint64_t offset_ = 0;
  std::string chunk_;
  std::size_t at_ = 0;
  std::int64_t number_ = 0;
};

constexpr std::string_view kWanted =
    R"(a row needs "messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}])";

template <typename... Args>
[[noreturn]] void bad(fmt::format_string<Args...> format, Args&&... args) {
  throw RowError(fmt::format(format, std::forward<Args>(args)...));
}

void check_content(const Json& message, std::size_t i) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (!message.contains("tool_calls")) bad("message {}: content is missing", i + 1);
    return;
  }
  if (content->is_string()) return;
  if (!content->is_array()) bad("message {}: content must be text, not {}", i + 1, content->type_name());
  for (const Json& part : *content) {
    const auto text = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || text == part.end() || !text->is_string())
      bad("message {}: only parts {{\"type\": \"text\", \"text\": \"…\"}} are supported in content", i + 1);
  }
}

void check_messages(const Json& row) {
  if (!row.is_object()) bad("not a JSON object; {}", kWanted);
  const auto messages = row.find("messages");
  if (messages == row.end()) {
    for (const char* other : {"conversations", "instruction", "prompt", "text", "segments", "input_ids"}) {
      if (row.contains(other)) bad("rows with \"{}\" are not supported in this version; {}", other, kWanted);
    }
    bad("\"messages\" is missing; {}", kWanted);
  }
  if (!messages->is_array() || messages->empty()) bad("\"messages\" must be a list with at least one message");
  bool assistant = false;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    if (!message.is_object()) bad("message {}: not a JSON object", i + 1);
    const auto role = message.find("role");
    if (role == message.end()) bad("message {}: role is missing", i + 1);
    if (!role->is_string()) bad("message {}: role must be text, not {}", i + 1, role->type_name());
    check_content(message, i);
    assistant = assistant || *role == "assistant";
  }
  if (!assistant) bad("no message of the assistant, so nothing to train");
}

Json parse_row(const std::string& line) {
  try {
    return parse_ordered_json(line, "not valid JSON");
  } catch (const Error& error) {
    throw RowError(error.what());
  }
}

}  // namespace

void BadRows::add(const std::string& source, std::int64_t line, const std::string& reason) {
  ++count_;
  spdlog::warn("{}:{}: row left out: {}", source, line, reason);
  if (count_ >= kLimit) fail("{}:{}: {} bad rows; correct or remove them (the last: {})", source, line, count_, reason);
}

std::int64_t for_each_row(const std::string& path, BadRows& bad_rows, const std::function<void(Row&&)>& visit) {
  LineReader reader(path);
  std::int64_t rows = 0;
  for (std::string line; reader.next(line);) {
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (rows++ == 0 && line.find_first_not_of(" \t") == line.find('['))
      fail("{}:{}: this is one JSON list; write one row a line (jq -c '.[]' rows.json > rows.jsonl)", path,
           reader.number());
    try {
      Row row{path, reader.number(), parse_row(line)};
      check_messages(row.json);
      visit(std::move(row));
    } catch (const RowError& error) {
      bad_rows.add(path, reader.number(), error.what());
    }
  }
  if (rows == 0) fail("{}: no rows in it; {}", path, kWanted);
  return rows;
}

}  // namespace shardlora
