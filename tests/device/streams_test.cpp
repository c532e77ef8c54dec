// Samples of streams that lie on a GPU, in the host's memory and in a scratch file.

#include <c10/cuda/CUDACachingAllocator.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.hpp"
#include "device/gpu_fixture.hpp"
#include "model/sample_stream.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

constexpr int64_t stream_tokens = 5, stream_hidden = 12;
constexpr int64_t stream_sample_bytes = stream_tokens * stream_hidden * 4;

class StreamsOnGpu : public test::OnGpu {
 protected:
  static at::Tensor sample(int64_t i) {
    return at::arange(stream_tokens * stream_hidden, at::kFloat)
        .add(1000.0 * static_cast<double>(i))
        .div(7)
        .view({stream_tokens, stream_hidden});
  }
  static StreamOrigin origin(int64_t i) { return {"a block", 3, "sample", i, "try another"}; }

  StreamBudget budget_of(const Device& device, int on_device, int on_host) {
    return StreamBudget(*files_, on_host * stream_sample_bytes, folder_ / "scratch",
                        {&device, on_device * stream_sample_bytes});
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(StreamsOnGpu, ASampleIsTheSameWhereverItLies) {
  for (const at::ScalarType element : {at::kFloat, at::kBFloat16}) {
    const auto device = device_of(element);
    StreamBudget budget = budget_of(*device, 2, 2);
    SampleStream stream(budget, 6, stream_tokens, stream_hidden);
    EXPECT_EQ(stream.on_device(), 2);
    EXPECT_EQ(stream.on_host(), 2);
    for (int64_t i = 0; i < 6; ++i) {
      // As a block's output, or as a sample that came from elsewhere.
      if (i % 2 == 0) {
        stream.store(i, device->bring(sample(i), at::kFloat), origin(i));
      } else {
        stream.store(i, sample(i));
      }
    }
    for (int64_t i = 0; i < 6; ++i) {
      EXPECT_TRUE(at::equal(stream.load(i), sample(i))) << i;
      const at::Tensor there = stream.load_on(*device, i);
      EXPECT_TRUE(there.is_cuda());
      EXPECT_EQ(there.scalar_type(), element);
      EXPECT_TRUE(at::equal(there.cpu(), sample(i).to(element))) << i;
    }
  }
}

TEST_F(StreamsOnGpu, ASampleThatIsBroughtAheadIsTheOneThatWasStoredLast) {
  const auto device = device_of(at::kBFloat16);
  StreamBudget budget = budget_of(*device, 0, 2);
  SampleStream stream(budget, 4, stream_tokens, stream_hidden);
  for (int64_t i = 0; i < 4; ++i) stream.store(i, sample(i));
  for (int round = 0; round < 3; ++round) {
    for (int64_t i = 0; i < 4; ++i) {
      stream.bring_ahead(i);
      stream.store(i, sample(i + 10 * round), origin(i));
      stream.bring_ahead(i);
      stream.bring_ahead(i + 1);
      const at::Tensor there = stream.load_on(*device, i);
      EXPECT_TRUE(at::equal(there.cpu(), sample(i + 10 * round).to(at::kBFloat16))) << i;
    }
  }
}

// A place for a sample that is brought ahead is a luxury. libtorch's limit stands for a full GPU.
TEST_F(StreamsOnGpu, WhereTheDeviceIsFullSamplesComeWhenTheyAreNeeded) {
  if (std::getenv("PYTORCH_NO_CUDA_MEMORY_CACHING") != nullptr) {
    GTEST_SKIP() << "libtorch's allocator has no limit without its cache";
  }
  constexpr int64_t tokens = 1024, hidden = 4096;  // no piece of the cache has room for 16 MiB
  const auto device = device_of(at::kFloat);
  StreamBudget budget(*files_, int64_t{1} << 30, folder_ / "scratch", {device.get(), 0});
  SampleStream stream(budget, 2, tokens, hidden);
  const at::Tensor value = at::full({tokens, hidden}, 3.0F);
  for (int64_t i = 0; i < 2; ++i) stream.store(i, value);
  c10::cuda::CUDACachingAllocator::emptyCache();
  c10::cuda::CUDACachingAllocator::setMemoryFraction(1e-9, 0);
  EXPECT_NO_THROW(stream.bring_ahead(0));
  c10::cuda::CUDACachingAllocator::setMemoryFraction(1, 0);
  EXPECT_EQ(budget.arrival({tokens, hidden}, at::kFloat), nullptr) << "it is not asked again";
  EXPECT_TRUE(at::equal(stream.load_on(*device, 0).cpu(), value));
}

// More samples than there are places, streams that go while their samples are under way, and work
// of the device that makes the copies wait.
TEST_F(StreamsOnGpu, PlacesOfSamplesThatNobodyTookAreUsedAgain) {
  const auto device = device_of(at::kFloat);
  StreamBudget budget = budget_of(*device, 0, 16);
  const at::Tensor work = device->bring(at::ones({64, 64}));
  for (int round = 0; round < 5; ++round) {
    SampleStream first(budget, 3, stream_tokens, stream_hidden);
    SampleStream second(budget, 3, stream_tokens, stream_hidden);
    for (int64_t i = 0; i < 3; ++i) {
      first.store(i, sample(i));
      second.store(i, sample(i + 100));
    }
    for (int64_t i = 0; i < 3; ++i) {
      work.mul_(1.5);
      first.bring_ahead(i);
      second.bring_ahead(i);
    }
    for (int64_t i = 2; i >= 0; --i) {
      const at::Tensor one = first.load_on(*device, i), two = second.load_on(*device, i);
      first.bring_ahead(0);
      work.mul_(0.5);
      EXPECT_TRUE(at::equal(one.cpu(), sample(i)));
      EXPECT_TRUE(at::equal(two.cpu(), sample(i + 100)));
    }
  }
}

// Copies of other places, each on a stream of its own, take all pinned buffers: the second copy
// must be done by then, and behind it what was taken out before.
TEST_F(StreamsOnGpu, WhatWasTakenOutOfAPlaceStaysWhenTheNextTensorComesEarly) {
  const auto device = device_of(at::kFloat);
  const at::Tensor one = sample(1), two = sample(2);
  const auto place = device->arrival(one.sizes(), at::kFloat);
  place->begin(one);
  const at::Tensor first = place->value(at::kFloat);
  place->begin(two);
  std::vector<std::unique_ptr<Arrival>> others;
  for (int i = 0; i < 6; ++i) {
    others.push_back(device->arrival(one.sizes(), at::kFloat));
    others.back()->begin(sample(3));
  }
  EXPECT_TRUE(at::equal(first.cpu(), one));
  EXPECT_TRUE(at::equal(place->value(at::kFloat).cpu(), two));
}

TEST_F(StreamsOnGpu, TheMemoryOfAPlaceIsUsedAgainOnlyBehindItsCopy) {
  const auto device = device_of(at::kFloat);
  device->arrival({stream_tokens, stream_hidden}, at::kFloat)->begin(sample(1));
  const at::Tensor next =
      at::zeros({stream_tokens, stream_hidden}, at::device(device->torch()).dtype(at::kFloat));
  EXPECT_TRUE(at::equal(next.cpu(), at::zeros({stream_tokens, stream_hidden})));
  device->finish();
  EXPECT_TRUE(at::equal(next.cpu(), at::zeros({stream_tokens, stream_hidden})));
}

TEST_F(StreamsOnGpu, AValueThatCannotBeKeptIsNamedOnTheGpuAsOnTheHost) {
  const auto device = device_of(at::kFloat);
  StreamBudget budget = budget_of(*device, 1, 1);
  SampleStream stream(budget, 2, stream_tokens, stream_hidden, Dtype::float16);
  ASSERT_EQ(stream.on_device(), 2) << "16 bits";
  const auto told = [&](float value, bool there) -> std::string {
    at::Tensor bad = sample(1);
    bad[2][3] = value;
    try {
      stream.store(1, there ? device->bring(bad, at::kFloat) : bad, origin(1));
    } catch (const NumericError& error) {
      return error.what();
    }
    return "nothing";
  };
  for (const float value : {70000.0F, INFINITY, NAN, -65505.0F}) {
    EXPECT_EQ(told(value, true), told(value, false));
    EXPECT_NE(told(value, true), "nothing");
  }
  EXPECT_EQ(told(65504.0F, true), "nothing");
}

TEST_F(StreamsOnGpu, WhatADroppedStreamTookIsFreeForTheNext) {
  const auto device = device_of(at::kFloat);
  StreamBudget budget = budget_of(*device, 3, 1);
  {
    const SampleStream first(budget, 2, stream_tokens, stream_hidden);
    const SampleStream second(budget, 2, stream_tokens, stream_hidden);
    EXPECT_EQ(first.on_device(), 2);
    EXPECT_EQ(second.on_device(), 1);
    EXPECT_EQ(second.on_host(), 1);
  }
  const SampleStream third(budget, 5, stream_tokens, stream_hidden);
  EXPECT_EQ(third.on_device(), 3);
  EXPECT_EQ(third.on_host(), 1);
}

}  // namespace
}  // namespace bitmill
