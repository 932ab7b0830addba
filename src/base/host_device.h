// Marks small functions that both the host compiler and nvcc compile, so that codecs and update rules are written once.
#pragma once

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif
