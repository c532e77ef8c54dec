#pragma once
// Marks a function that computes one element. A kernel calls it, and a plain C++ loop can call it
// too, so that the arithmetic of a kernel can be tested on machines without a GPU.

#ifdef __CUDACC__
#define BITMILL_HOST_DEVICE __host__ __device__
#else
#define BITMILL_HOST_DEVICE
#endif
