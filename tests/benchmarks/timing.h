// How long something takes, and what is in the middle of several figures.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

namespace shardlora {

inline double seconds(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

inline double median(std::vector<double> of) {
  std::nth_element(of.begin(), of.begin() + std::ssize(of) / 2, of.end());
  return of[of.size() / 2];
}

}  // namespace shardlora
