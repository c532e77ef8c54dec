#pragma once
// Include it once in a test binary that computes: torch and MKL then use one thread, as in the
// program. Threads that a test makes must call at::set_num_threads(1) themselves.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace bitmill::test {

class OneTorchThread : public testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};
inline const testing::Environment* const one_torch_thread =
    testing::AddGlobalTestEnvironment(new OneTorchThread);

}  // namespace bitmill::test
