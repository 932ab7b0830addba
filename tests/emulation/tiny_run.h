// How often a training run of the tiny job calls functions of CUDA and its libraries.
#pragma once

#include <vector>

#include "emulation/runtime.h"
#include "tiny_job.h"

namespace shardlora {

inline int calls_in_a_run(const TinyJob& job, const std::vector<const char*>& functions) {
  emulation::fail_no_call();
  run(job);
  int calls = 0;
  for (const char* function : functions) calls += emulation::calls_of(function);
  return calls;
}

// By which a run of four steps has more calls of these than one of three.
inline int calls_in_a_step(int ranks, const std::vector<const char*>& functions) {
  return calls_in_a_run({.ranks = ranks, .steps = 4}, functions) -
         calls_in_a_run({.ranks = ranks, .steps = 3}, functions);
}

}  // namespace shardlora
