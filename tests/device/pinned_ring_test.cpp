// The pinned buffers through which tensors go to a GPU and back.

#include "device/cuda_pinned_ring.hpp"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.hpp"
#include "device/gpu_fixture.hpp"

namespace bitmill {
namespace {

// Buffers of 256 bytes, so that every way round the ring is gone many times.
class PinnedRingTest : public test::OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (!IsSkipped()) device_ = device_of(at::kFloat);
  }
  at::Tensor device_bytes(int64_t size) const {
    return at::full({size}, 99, at::device(device_->torch()).dtype(at::kByte));
  }
  std::vector<uint8_t> received(PinnedRing& ring, const at::Tensor& there) const {
    std::vector<uint8_t> all;
    ring.receive(there.const_data_ptr(), there.numel(),
                 [&](const std::byte* piece, int64_t first, int64_t count) {
                   EXPECT_EQ(first, std::ssize(all));
                   EXPECT_LE(count, ring.buffer_bytes());
                   const auto* const bytes = reinterpret_cast<const uint8_t*>(piece);
                   all.insert(all.end(), bytes, bytes + count);
                 });
    return all;
  }
  static std::vector<uint8_t> numbers(int64_t size, uint8_t first) {
    std::vector<uint8_t> all(static_cast<size_t>(size));
    std::iota(all.begin(), all.end(), first);
    return all;
  }

  std::unique_ptr<Device> device_;
};

TEST_F(PinnedRingTest, BytesOfEveryLengthGoThereAndBack) {
  PinnedRing ring(pool_, 2, 256);
  for (const int64_t size : {0, 1, 15, 255, 256, 257, 511, 512, 513, 5000}) {
    const at::Tensor there = device_bytes(size);
    std::vector<uint8_t> host = numbers(size, 5);
    ring.send(there.mutable_data_ptr(), host.data(), size);
    const std::vector<uint8_t> sent = std::exchange(host, numbers(size, 77));
    EXPECT_EQ(received(ring, there), sent) << size;
  }
}

TEST_F(PinnedRingTest, ABufferThatIsUnderWayIsNotWrittenTo) {
  PinnedRing ring(pool_, 3, 1024);
  std::vector<at::Tensor> there;
  for (int i = 0; i < 30; ++i) there.push_back(device_bytes(100 + 37 * i));
  for (int i = 0; i < 30; ++i) {
    const int64_t size = 100 + 37 * i;  // some share a buffer, some take two
    std::vector<uint8_t> host = numbers(size, static_cast<uint8_t>(i));
    ring.send(there[static_cast<size_t>(i)].mutable_data_ptr(), host.data(), size);
    std::ranges::fill(host, 0);
  }
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(received(ring, there[static_cast<size_t>(i)]),
              numbers(100 + 37 * i, static_cast<uint8_t>(i)));
  }
}

// The event behind a buffer covers one stream: with two, a copy could be overtaken.
TEST_F(PinnedRingTest, StreamsInTurnDoNotOvertakeEachOther) {
  PinnedRing ring(pool_, 2, 1024);
  const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool(false, 0);
  std::vector<at::Tensor> there;
  for (int i = 0; i < 12; ++i) there.push_back(device_bytes(200));
  device_->finish();
  for (int i = 0; i < 12; ++i) {
    const std::vector<uint8_t> host = numbers(200, static_cast<uint8_t>(i));
    const c10::cuda::CUDAStreamGuard guard(i % 3 == 0 ? side : c10::cuda::getDefaultCUDAStream(0));
    ring.send(there[static_cast<size_t>(i)].mutable_data_ptr(), host.data(), 200);
  }
  device_->finish();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(received(ring, there[static_cast<size_t>(i)]), numbers(200, static_cast<uint8_t>(i)));
  }
}

TEST_F(PinnedRingTest, AReaderThatThrowsLeavesTheRingUsable) {
  PinnedRing ring(pool_, 2, 256);
  const at::Tensor there = device_bytes(2000);
  EXPECT_THROW(ring.receive(there.const_data_ptr(), 2000,
                            [](const std::byte*, int64_t, int64_t) { throw FileError("full"); }),
               FileError);
  EXPECT_EQ(received(ring, there), std::vector<uint8_t>(2000, 99));
}

}  // namespace
}  // namespace bitmill
