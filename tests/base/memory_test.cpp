#include "base/memory.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <new>

namespace bitmill {
namespace {

TEST(Pages, AreZeroCanBeWrittenAndBeginAtAPage) {
  constexpr size_t bytes = 100'000;
  const Pages pages(bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(pages.data()) % 4096, 0);
  for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(pages.data()[i], std::byte{0}) << i;
  pages.data()[bytes - 1] = std::byte{7};
  EXPECT_EQ(pages.data()[bytes - 1], std::byte{7});
}

TEST(Pages, HugeOnesBeginAtTwoMebibytesAndHoldAllBytes) {
  constexpr size_t bytes = (size_t{4} << 20) + 1;
  for (int i = 0; i < 3; ++i) {
    const Pages pages(bytes, Pages::Size::huge);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pages.data()) % (size_t{2} << 20), 0);
    pages.data()[0] = pages.data()[bytes - 1] = std::byte{7};
    EXPECT_EQ(pages.data()[bytes / 2], std::byte{0});
  }
}

TEST(Pages, HugeOnesOfNoBytesAreNoneAndTooManyAreRefused) {
  EXPECT_EQ(Pages(0, Pages::Size::huge).data(), nullptr);
  EXPECT_THROW(Pages(std::numeric_limits<size_t>::max(), Pages::Size::huge), std::bad_alloc);
}

TEST(Pages, OfNoBytesAreNone) { EXPECT_EQ(Pages(0).data(), nullptr); }

TEST(Pages, MoreThanThereCanBeIsRefused) {
  EXPECT_THROW(Pages(std::numeric_limits<size_t>::max() / 2), std::bad_alloc);
}

TEST(Memory, PeakCountsWhatWasWrittenTo) {
  constexpr size_t bytes = size_t{64} << 20;
  const Pages pages(bytes);
  for (size_t i = 0; i < bytes; i += 4096) pages.data()[i] = std::byte{1};
  EXPECT_GE(peak_memory_bytes(), int64_t{bytes});
}

TEST(Memory, APeakThatIsForgottenIsThatOfWhatCameAfterwards) {
  constexpr int64_t bytes = int64_t{256} << 20;
  {
    const Pages pages(bytes);
    for (int64_t i = 0; i < bytes; i += 4096) pages.data()[i] = std::byte{1};
  }
  const int64_t before = peak_memory_bytes();
  EXPECT_GE(before, bytes);
  if (!forget_peak_memory()) GTEST_SKIP() << "/proc/self/clear_refs cannot be written here";
  EXPECT_LT(peak_memory_bytes(), before - bytes / 2);
}

}  // namespace
}  // namespace bitmill
