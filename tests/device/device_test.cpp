// A GPU as bitmill uses it: tensors there and back, in order and without waiting more than needed,
// and what is said where it cannot be used.

#include "device/device.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "base/error.hpp"
#include "device/cuda_fault.hpp"
#include "device/gpu_fixture.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class CudaDeviceTest : public test::OnGpu {};

template <typename E>
std::string words_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

TEST_F(CudaDeviceTest, SaysWhatItIs) {
  const auto device = device_of(at::kBFloat16);
  EXPECT_EQ(device->torch(), at::Device("cuda:0"));
  EXPECT_EQ(device->element(), at::kBFloat16);
  EXPECT_EQ(device->lanes(), 1);
  EXPECT_THAT(device->description(), MatchesRegex(".+ \\(cuda:0\\), [0-9.]+ GB"));
}

TEST_F(CudaDeviceTest, NumericsKnowTheNameTheTypeTheLibrariesAndOurRevision) {
  const std::string words = device_of(at::kBFloat16)->numerics();
  EXPECT_THAT(words, MatchesRegex(".+ sm_[0-9]+x[0-9]+-bfloat16-torch2[0-9.]+[^ ]*"
                                  "-cudart[0-9]+-cublaslt[0-9]+-arithmetic[0-9]+"));
  EXPECT_NE(words, device_of(at::kFloat)->numerics());
}

TEST_F(CudaDeviceTest, TensorsOfEveryTypeComeBackAsTheyWere) {
  const auto device = device_of(at::kBFloat16);
  for (const at::ScalarType type :
       {at::kFloat, at::kHalf, at::kBFloat16, at::kInt, at::kLong, at::kByte}) {
    const at::Tensor host = at::randint(0, 100, {7, 33}).to(type);
    const at::Tensor there = device->bring(host, type);
    EXPECT_EQ(there.device(), device->torch());
    EXPECT_EQ(there.scalar_type(), type);
    EXPECT_TRUE(at::equal(device->fetch(there, type), host)) << type;
    EXPECT_TRUE(at::equal(device->fetch(there), host.to(at::kFloat))) << type;
  }
}

TEST_F(CudaDeviceTest, CastsRoundAsTheHostDoes) {
  const auto device = device_of(at::kBFloat16);
  const at::Tensor host = at::randn({129, 65});
  const at::Tensor there = device->bring(host);
  EXPECT_EQ(there.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(device->fetch(there), host.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_TRUE(at::equal(device_of(at::kFloat)->fetch(there.to(at::kFloat)), device->fetch(there)));
}

TEST_F(CudaDeviceTest, TensorsWithoutElementsOrDimensionsAndViewsGoToo) {
  const auto device = device_of(at::kFloat);
  const at::Tensor view = at::randn({6, 10}).t().slice(0, 1, 9, 2);
  for (const at::Tensor& host : {at::empty({0, 3}), at::full({}, 2.5F), view}) {
    const at::Tensor there = device->bring(host, at::kBFloat16);
    EXPECT_TRUE(there.is_contiguous());
    EXPECT_TRUE(at::equal(device->fetch(there), host.to(at::kBFloat16).to(at::kFloat)));
    EXPECT_TRUE(at::equal(device->fetch(device->bring(host)), host));
  }
  const at::Tensor there = device->bring(at::arange(12, at::kFloat).view({3, 4})).t();
  EXPECT_TRUE(at::equal(device->fetch(there), at::arange(12, at::kFloat).view({3, 4}).t()));
}

// More than all buffers of the ring hold, and not a multiple of one.
TEST_F(CudaDeviceTest, TensorsLargerThanTheRingGoInPieces) {
  const auto device = device_of(at::kBFloat16);
  const at::Tensor host = at::arange((int64_t{70} << 18) + 77, at::kInt).to(at::kFloat);  // 73 MB
  EXPECT_TRUE(at::equal(device->fetch(device->bring(host, at::kFloat)), host));
  EXPECT_TRUE(at::equal(device->fetch(device->bring(host)), host.to(at::kBFloat16).to(at::kFloat)));
}

TEST_F(CudaDeviceTest, WhatIsBroughtMayBeChangedAtOnce) {
  const auto device = device_of(at::kFloat);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    at::Tensor host = at::full({1000}, 3.0F);
    const at::Tensor there = device->bring(host, type);
    host.fill_(7);
    EXPECT_TRUE(at::equal(device->fetch(there), at::full({1000}, 3.0F))) << type;
  }
}

// Many of them are under way together, over all buffers.
TEST_F(CudaDeviceTest, EachOfManyThatFollowEachOtherArrives) {
  const auto device = device_of(at::kFloat);
  at::Tensor host = at::empty({int64_t{5} << 18});  // 5 MiB
  std::vector<at::Tensor> there;
  for (int i = 0; i < 40; ++i) {
    host.fill_(i);
    there.push_back(device->bring(host));
  }
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(at::equal(device->fetch(there[static_cast<size_t>(i)]), at::full_like(host, i)))
        << i;
  }
}

TEST_F(CudaDeviceTest, FetchWaitsForWhatWasQueued) {
  const auto device = device_of(at::kFloat);
  at::Tensor there = device->bring(at::ones({1 << 12}));
  for (int i = 0; i < 5; ++i) there = there + there;
  EXPECT_TRUE(at::equal(device->fetch(there), at::full({1 << 12}, 32.0F)));
}

TEST_F(CudaDeviceTest, CopiesHaveNoGradientAndWhatIsThereIsNotCopied) {
  const auto device = device_of(at::kFloat);
  const at::Tensor learned = at::ones({4}).requires_grad_();
  const at::Tensor there = device->bring(learned);
  EXPECT_FALSE(there.requires_grad());
  EXPECT_TRUE(device->bring(there).is_same(there));
  EXPECT_EQ(device->bring(there, at::kBFloat16).scalar_type(), at::kBFloat16);
  EXPECT_TRUE(device->fetch(learned).is_same(learned));
  EXPECT_FALSE(device->fetch(there.detach().requires_grad_()).requires_grad());
}

TEST_F(CudaDeviceTest, UnitsRunInOrderOnTheCallingThread) {
  const auto device = device_of(at::kFloat);
  std::vector<int64_t> order;
  device->for_units(4, [&](int64_t unit) { order.push_back(unit); });
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3}));
  device->finish();
  EXPECT_THROW(device->for_units(2, [](int64_t) { throw StopError("enough"); }), StopError);
}

TEST_F(CudaDeviceTest, RefusesATypeThatKernelsDoNotKnow) {
  EXPECT_THAT(words_of<UsageError>([&] { device_of(at::kHalf); }), HasSubstr("not in Half"));
}

TEST_F(CudaDeviceTest, AnIndexBeyondWhatIsSeenIsExplained) {
  const auto seen = find_cuda_devices().devices.size();
  const auto ask = [&] { cuda_device({.index = 99, .element = at::kFloat}, pool_); };
  EXPECT_THAT(words_of<DeviceError>(ask),
              AllOf(HasSubstr("there is no cuda:99 on "), HasSubstr("CUDA_VISIBLE_DEVICES"),
                    HasSubstr("sees " + std::to_string(seen) + " GPU")));
}

TEST_F(CudaDeviceTest, ListAndTrialAgreeAboutTheDevices) {
  const CudaHost listed = find_cuda_devices(), tried = find_cuda_devices(DeviceLook::try_out);
  EXPECT_TRUE(listed.compiled);
  EXPECT_EQ(listed.problem, "");
  EXPECT_THAT(listed.runtime, MatchesRegex("[0-9]+\\.[0-9]+"));
  ASSERT_EQ(tried.devices.size(), listed.devices.size());
  for (const CudaDeviceInfo& device : tried.devices) {
    EXPECT_EQ(device.problem, "");
    EXPECT_EQ(device.name, listed.devices[static_cast<size_t>(device.index)].name);
    EXPECT_GT(device.free_bytes, 0);
    EXPECT_LE(device.free_bytes, device.memory_bytes);
    EXPECT_GT(device.multiprocessors, 0);
  }
}

TEST_F(CudaDeviceTest, MoreMemoryThanThereIsSaysHowMuchWasAskedAndWhatIsFree) {
  const auto device = device_of(at::kFloat);
  const auto ask = [&] {
    device->for_units(1, [&](int64_t) { at::empty({int64_t{1} << 45}, device->torch()); });
  };
  const std::string words = words_of<DeviceError>(ask);
  EXPECT_THAT(words, AllOf(HasSubstr("(cuda:0) on "), HasSubstr("out of memory"),
                           HasSubstr("nvidia-smi"), HasSubstr("--seq-len")));
  EXPECT_THAT(words, testing::AnyOf(HasSubstr("Tried to allocate 131072.00 GiB"),
                                    HasSubstr(" are free")));  // without the caching allocator
  const at::Tensor still = device->bring(at::ones({3}));
  EXPECT_TRUE(at::equal(device->fetch(still), at::ones({3})));
}

TEST_F(CudaDeviceTest, AnErrorOfACallNamesItTheDeviceAndTheHost) {
  const auto device = device_of(at::kFloat);
  EXPECT_NO_THROW(check_cuda(cudaSuccess, "nothing"));
  EXPECT_THAT(words_of<DeviceError>([] { check_cuda(cudaErrorInvalidValue, "add_tables"); }),
              AllOf(HasSubstr("add_tables failed on "), HasSubstr("(cuda:0) on "),
                    HasSubstr("cudaErrorInvalidValue: invalid argument")));
}

// A launcher returns what cudaGetLastError() says.
TEST_F(CudaDeviceTest, AnErrorThatWasToldIsNotToldAgain) {
  const auto device = device_of(at::kFloat);
  void* memory = nullptr;
  const cudaError_t error = cudaMemcpy(&memory, nullptr, 8, cudaMemcpyHostToDevice);
  ASSERT_NE(error, cudaSuccess);
  EXPECT_THROW(check_cuda(error, "cudaMemcpy"), DeviceError);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(CudaDeviceTest, ADeviceThatBrokeIsAnErrorOfItsOwn) {
  EXPECT_THAT(
      words_of<DeviceLostError>([] { check_cuda(cudaErrorECCUncorrectable, "cudaMemcpy"); }),
      AllOf(HasSubstr("cudaErrorECCUncorrectable"), HasSubstr("Xid")));
  EXPECT_EQ(words_of<DeviceLostError>([] {
              try {
                check_cuda(cudaErrorIllegalAddress, "gather");
              } catch (const DeviceLostError&) {
                throw;
              } catch (const DeviceError&) {
              }
            }),
            "");
}

TEST_F(CudaDeviceTest, ErrorsThatAreNotTheDevicesStayWhatTheyAre) {
  EXPECT_THROW(with_device_errors([] { at::ones({2}).view({3}); }), c10::Error);
  EXPECT_THROW(with_device_errors([] { throw FormatError("x"); }), FormatError);
}

// Words only: no device is needed.
TEST(CudaFault, ADriverThatIsMissingOrTooOldIsToldWithBothVersions) {
  EXPECT_THAT(why_no_devices(cudaErrorInsufficientDriver, 0, 13000),
              AllOf(HasSubstr("no NVIDIA driver is loaded"), HasSubstr("CUDA 13.0"),
                    HasSubstr("cudaErrorInsufficientDriver")));
  EXPECT_THAT(why_no_devices(cudaErrorInsufficientDriver, 12040, 13000),
              AllOf(HasSubstr("too old: it is for CUDA 12.4"), HasSubstr("needs CUDA 13.0"),
                    Not(HasSubstr("no NVIDIA driver"))));
  EXPECT_THAT(why_no_devices(cudaErrorInsufficientDriver, 13000, 13000), Not(HasSubstr("too old")));
}

TEST(CudaFault, NoDeviceSaysWhatMayHideOne) {
  for (const cudaError_t error : {cudaErrorNoDevice, cudaSuccess}) {
    EXPECT_THAT(why_no_devices(error, 13000, 13000),
                AllOf(HasSubstr("cudaErrorNoDevice"), HasSubstr("CUDA_VISIBLE_DEVICES"),
                      HasSubstr("--nv"), HasSubstr("MIG")));
  }
}

TEST(CudaFault, AnErrorWithoutAdviceHasCudasWordsAlone) {
  EXPECT_EQ(what_to_try(cudaErrorInvalidValue), "");
  EXPECT_EQ(why_no_devices(cudaErrorInvalidValue, 13000, 13000),
            "cudaErrorInvalidValue: invalid argument");
}

TEST(CudaFault, VersionsAreWrittenAsPeopleDo) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
  EXPECT_EQ(cuda_version_text(0), "");
}

}  // namespace
}  // namespace bitmill
