#include "product/cpu_kernel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST(CpuKernel, AutoIsTheFastestThatThisProcessorRuns) {
  const auto usable = usable_cpu_kernels();
  EXPECT_EQ(choose_cpu_kernel("auto").name, usable.front());
  EXPECT_EQ(usable.back(), "plain");
}

TEST(CpuKernel, AForcedKernelIsTheOneThatWasNamed) {
  for (const std::string& name : usable_cpu_kernels()) {
    EXPECT_EQ(choose_cpu_kernel(name).name, name);
  }
}

TEST(CpuKernel, AForcedKernelThatTheProcessorLacksIsRefusedWithWhatItNeeds) {
  const auto usable = usable_cpu_kernels();
  int lacking = 0;
  for (const std::string name : {"avx512vnni", "avx2"}) {
    if (std::ranges::count(usable, name) > 0) continue;
    ++lacking;
    EXPECT_THAT([&] { choose_cpu_kernel(name); },
                testing::ThrowsMessage<UsageError>(
                    testing::AllOf(HasSubstr(name), HasSubstr("needs an x86-64"))));
  }
  if (lacking == 0) GTEST_SKIP() << "this processor runs all kernels";
}

TEST(CpuKernel, AnUnknownNameIsRefusedWithTheOnesThatRun) {
  EXPECT_THAT([] { choose_cpu_kernel("avx1024"); },
              testing::ThrowsMessage<UsageError>(HasSubstr("plain")));
  EXPECT_THAT([] { choose_cpu_kernel("neon"); },
              testing::ThrowsMessage<UsageError>(HasSubstr("ARM runs plain")));
}

TEST(CpuKernel, TheNoteSpeaksWhereOnlyThePlainKernelRuns) {
  EXPECT_EQ(slow_kernel_note().empty(), usable_cpu_kernels().size() > 1);
}

}  // namespace
}  // namespace bitmill
