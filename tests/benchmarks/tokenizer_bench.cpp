// How fast a tokenizer is on one core: tokenizer_bench MODEL TEXT_FILE. Lines are encoded one by one, as rows are.
#include <chrono>
#include <fstream>
#include <vector>

#include "data/tokenizer.h"

int main(int count, char** arguments) {
  using namespace shardlora;
  if (count != 3) {
    fmt::print(stderr, "usage: tokenizer_bench DIR|FILE.gguf TEXT_FILE\n");
    return 2;
  }
  const auto seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  const double start = seconds();
  const Tokenizer tokenizer = Tokenizer::open(arguments[1]);
  fmt::print("opened in {:.2f} s\n", seconds() - start);
  std::vector<std::string> lines;
  std::ifstream file(arguments[2]);
  std::size_t bytes = 0;
  for (std::string line; std::getline(file, line); bytes += line.size()) lines.push_back(line);
  for (const char* pass : {"first pass", "second pass"}) {
    const double begin = seconds();
    std::size_t tokens = 0;
    std::vector<std::int32_t> ids;
    for (const std::string& line : lines)
      for (const Token& token : tokenizer.encode(line)) ids.push_back(token.id), ++tokens;
    const double encoded = seconds();
    const std::size_t decoded = tokenizer.decode(ids).size();
    fmt::print("{}: {} tokens, encoding {:.1f} MB/s, decoding {:.1f} MB/s\n", pass, tokens,
               1e-6 * static_cast<double>(bytes) / (encoded - begin),
               1e-6 * static_cast<double>(decoded) / (seconds() - encoded));
  }
}
