// Models by their names on the hub.
#include "checkpoint/hub_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/error.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

// The environment with nothing in it that names a cache; put back at the end.
class HubCache : public testing::Test {
 protected:
  HubCache() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"}) {
      if (const char* value = std::getenv(name))
        before_[name] = value;
      else
        before_[name] = std::nullopt;
      unsetenv(name);
    }
  }
  ~HubCache() override {
    for (const auto& [name, value] : before_) {
      if (value)
        setenv(name.c_str(), value->c_str(), 1);
      else
        unsetenv(name.c_str());
    }
  }
  // As hf download leaves a model: files are links to blobs.
  fs::path download(const fs::path& cache) {
    const fs::path model = cache / "models--org--tiny.v1", snapshot = model / "snapshots" / kCommit;
    fs::create_directories(snapshot);
    fs::create_directories(model / "refs");
    fs::create_directories(model / "blobs");
    std::ofstream(model / "refs/main") << kCommit;
    std::ofstream(model / "blobs/a") << "{}";
    fs::create_symlink("../../blobs/a", snapshot / "config.json");
    return snapshot;
  }
  static std::string error_of(const std::string& name) {
    try {
      find_model(name);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }
  fs::path path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(HubCache, IsWhereHuggingFaceHasIt) {
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(hub_cache(), "/home/me/.cache/huggingface/hub");
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(hub_cache(), "/xdg/huggingface/hub");
  setenv("HF_HOME", "/hf", 1);
  EXPECT_EQ(hub_cache(), "/hf/hub");
  setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(hub_cache(), "/old");
  setenv("HF_HUB_CACHE", "/hub", 1);
  EXPECT_EQ(hub_cache(), "/hub");
  setenv("HF_HUB_CACHE", "", 1);
  EXPECT_EQ(hub_cache(), "/old") << "what says nothing is not set";
}

TEST_F(HubCache, GivesTheSnapshotThatMainNames) {
  setenv("HF_HUB_CACHE", path().c_str(), 1);
  const fs::path snapshot = download(path());
  EXPECT_EQ(find_model("org/tiny.v1"), snapshot);
  EXPECT_EQ(find_model(snapshot.string()), snapshot);  // what is there as a path is that
  std::ofstream(path() / "models--org--tiny.v1/refs/main") << kCommit << "\n";
  EXPECT_EQ(find_model("org/tiny.v1"), snapshot);
}

TEST_F(HubCache, SaysWhatIsMissingAndHowToGetIt) {
  EXPECT_THAT(error_of("org/tiny.v1"), AllOf(HasSubstr("HOME is not set"), HasSubstr("hf download org/tiny.v1")));
  setenv("HF_HUB_CACHE", path().c_str(), 1);
  EXPECT_THAT(error_of("org/tiny.v1"), AllOf(HasSubstr(path().string()), HasSubstr("hf download org/tiny.v1")));
  for (const char* name : {"/no/where", "./org/tiny", "some.gguf", "org/some.gguf", "a/b/c", "org/", "~/model"})
    EXPECT_THAT(error_of(name), HasSubstr("No such file or folder")) << name;
}

TEST_F(HubCache, TellsABrokenDownload) {
  setenv("HF_HUB_CACHE", path().c_str(), 1);
  const fs::path snapshot = download(path()), model = path() / "models--org--tiny.v1";
  fs::remove(model / "blobs/a");
  EXPECT_THAT(error_of("org/tiny.v1"), AllOf(HasSubstr("config.json"), HasSubstr("not in the cache any more")));
  std::ofstream(model / "refs/main") << kCommit << "/.";
  EXPECT_THAT(error_of("org/tiny.v1"), HasSubstr("no snapshot"));
  std::ofstream(model / "refs/main") << kCommit;
  fs::remove_all(snapshot);
  EXPECT_THAT(error_of("org/tiny.v1"), AllOf(HasSubstr(kCommit), HasSubstr("no snapshot")));
  fs::remove(model / "refs/main");
  EXPECT_THAT(error_of("org/tiny.v1"), HasSubstr("no refs/main"));
}

}  // namespace
}  // namespace shardlora
