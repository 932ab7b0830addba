#include "base/user_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

// The user's cache is this test's own.
class KnownDigest : public testing::Test {
 protected:
  KnownDigest() {
    if (const char* const before = std::getenv("XDG_CACHE_HOME")) before_ = before;
    setenv("XDG_CACHE_HOME", folder_.path().c_str(), 1);
  }
  ~KnownDigest() override {
    if (before_)
      setenv("XDG_CACHE_HOME", before_->c_str(), 1);
    else
      unsetenv("XDG_CACHE_HOME");
  }

  // A large file that takes no room.
  fs::path large_file() {
    const fs::path path = folder_.path() / "model";
    WritableFile(path, 64 << 20);
    return path;
  }
  fs::path kept() const {
    const fs::directory_iterator files(folder_.path() / "shardlora/digests");
    return files->path();
  }

  TemporaryDirectory folder_;
  std::optional<std::string> before_;
};

TEST_F(KnownDigest, IsReadOnceOfAFileThatStaysAsItIs) {
  const fs::path model = large_file();
  const std::string digest = sha256_of_file(model);
  EXPECT_EQ(known_sha256_of_file(model), digest);
  const std::string other(64, 'a');
  write_file_atomically(kept(), other);
  EXPECT_EQ(known_sha256_of_file(model), other) << "it was read again";
  write_file_atomically(kept(), std::string("nonsense"));
  EXPECT_EQ(known_sha256_of_file(model), digest);
}

TEST_F(KnownDigest, IsReadAgainOfAFileThatChanged) {
  const fs::path model = large_file();
  const std::string before = known_sha256_of_file(model);
  {
    WritableFile file(model, 64 << 20);
    file.write_at(5, std::as_bytes(std::span("x", 1)));
  }
  EXPECT_NE(known_sha256_of_file(model), before);
  EXPECT_EQ(known_sha256_of_file(model), sha256_of_file(model));
}

TEST_F(KnownDigest, OfASmallFileIsNotKept) {
  write_file_atomically(folder_.path() / "small", std::string("text"));
  EXPECT_EQ(known_sha256_of_file(folder_.path() / "small"), sha256_of("text"));
  EXPECT_FALSE(fs::exists(folder_.path() / "shardlora"));
}

}  // namespace
}  // namespace shardlora
