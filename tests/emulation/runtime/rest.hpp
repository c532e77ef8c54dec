#pragma once
// How long tasks rest, and other choices that a seed decides.

#include <cstdint>

namespace bitmill::fake_cuda {

// Microseconds before task `place` of stream `number`.
uint64_t rest_of_task(uint64_t number, uint64_t place);

// A number that (seed, a, b) decides, evenly spread.
uint64_t drawn(uint64_t a, uint64_t b);

}  // namespace bitmill::fake_cuda
