// Where tests find the real model: $SHARDLORA_TEST_MODEL, else the cache that launch/quickstart fills.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

namespace shardlora {

inline std::filesystem::path test_model() {
  if (const char* path = std::getenv("SHARDLORA_TEST_MODEL")) return path;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path root = cache != nullptr && *cache != '\0'
                                         ? std::filesystem::path(cache)
                                         : std::filesystem::path(home ? home : ".") / ".cache";
  return root / "shardlora/SmolLM2-135M-Instruct.Q4_1.gguf";
}

inline bool in_ci() {
  const char* ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

}  // namespace shardlora

// At the top of a test's body. Without the model a developer's run skips the test, CI fails.
#define NEEDS_TEST_MODEL()                                                                                \
  do {                                                                                                    \
    if (!std::filesystem::exists(::shardlora::test_model())) {                                            \
      if (::shardlora::in_ci()) FAIL() << "no model at " << ::shardlora::test_model();                    \
      GTEST_SKIP() << "no model at " << ::shardlora::test_model() << "; set SHARDLORA_TEST_MODEL to one"; \
    }                                                                                                     \
  } while (false)
