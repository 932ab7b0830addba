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
inline int calls_in_a_step(TinyJob job, const std::vector<const char*>& functions) {
  job.steps = 4;
  const int four = calls_in_a_run(job, functions);
  job.steps = 3;
  return four - calls_in_a_run(job, functions);
}
inline int calls_in_a_step(int ranks, const std::vector<const char*>& functions) {
  return calls_in_a_step(TinyJob{.ranks = ranks}, functions);
}

}  // namespace shardlora
