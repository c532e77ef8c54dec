#pragma once
// Marks a function that a kernel calls for one element and a plain C++ loop can call too, so that
// the arithmetic of a kernel is tested on machines without a GPU.

#ifdef __CUDACC__
#define BITMILL_HOST_DEVICE __host__ __device__
#else
#define BITMILL_HOST_DEVICE
#endif
