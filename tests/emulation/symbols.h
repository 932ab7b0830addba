// What the symbols of the program (or of the library that holds a kernel) say: names of kernels, their shared
// variables, how many threads they promised to be launched with.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace emulation {

struct KernelFacts {
  std::string name;               // demangled, without parameters
  unsigned most_threads = 1024;   // of __launch_bounds__
  std::size_t static_shared = 0;  // bytes of the shared variables in the kernel's own body
};
const KernelFacts& facts_of(const void* kernel);

// Where the shared variables that the kernel may use lie on this host thread: its own and those of the functions of its
// program, not those of other kernels.
struct SharedVariable {
  char* data;
  std::size_t bytes;
};
const std::vector<SharedVariable>& shared_variables(const void* kernel);

}  // namespace emulation
