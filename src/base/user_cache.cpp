#include "base/user_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/error.h"
#include "base/file.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigest = 64;                // hexadecimal digits
constexpr std::int64_t kWorthKeeping = 64L << 20;  // bytes: less is read in a tenth of a second

// Where the digest of the file as it is now is kept; empty where it is not worth it.
fs::path place_of(const fs::path& path) {
  struct stat s{};
  std::error_code none;
  const fs::path cache = user_cache(), whole = fs::absolute(path, none);
  if (cache.empty() || none || ::stat(path.c_str(), &s) != 0 || s.st_size < kWorthKeeping) return {};
  const std::string identity = fmt::format("{}\n{} {} {} {}.{:09}", whole.string(), s.st_size, s.st_dev, s.st_ino,
                                           s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  return cache / "digests" / sha256_of(identity);
}

// A kept digest; nothing where there is none, or none that can be read.
std::string text_of(const fs::path& place) {
  std::error_code none;
  if (place.empty() || !fs::is_regular_file(place, none)) return "";
  try {
    return read_text(place, kDigest);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

fs::path user_cache() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return fs::path(cache) / "shardlora";
  const char* const home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".cache/shardlora" : fs::path();
}

std::string known_sha256_of_file(const fs::path& path) {
  const fs::path place = place_of(path);
  std::error_code none;
  if (const std::string kept = text_of(place);
      kept.size() == kDigest && kept.find_first_not_of("0123456789abcdef") == std::string::npos)
    return kept;
  const std::string digest = sha256_of_file(path);
  if (place.empty() || place_of(path) != place) return digest;
  try {
    fs::create_directories(place.parent_path(), none);
    write_file_atomically(place, digest);
  } catch (const Error&) {  // a cache that cannot be written costs time only
  }
  return digest;
}

}  // namespace shardlora
