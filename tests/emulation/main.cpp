// Tests on two emulated cards, with the stand-ins of CUDA's libraries.
#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  setenv("SHARDLORA_CUBLASLT_LIBRARY", FAKE_CUBLASLT, 0);
  setenv("SHARDLORA_NCCL_LIBRARY", FAKE_NCCL, 0);
  setenv("EMULATED_CUDA_DEVICES", "2", 0);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
