// `preprocess` on a GPU, or on the emulation of one.

#include <gtest/gtest.h>

#include <cmath>

#include "device/device.hpp"
#include "format/dtype.hpp"
#include "pipeline/preprocess_job.hpp"

namespace bitmill {
namespace {

class PreprocessOnDevice : public Preprocess {
 protected:
  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    if (!host.problem.empty()) GTEST_SKIP() << host.problem;
  }

  PreprocessOptions on_device(const std::string& name, Dtype dtype = Dtype::float32) {
    PreprocessOptions o = adapting(name);
    o.backend = "cuda";
    o.dtype = dtype;
    o.steps = 6;
    return o;
  }
};

TEST_F(PreprocessOnDevice, LossesAreThoseOfTheCpu) {
  PreprocessOptions host = on_device("host");
  host.backend = "cpu";
  const std::vector<float> expected = adapt(host).history.held_out;
  const std::vector<float> exact = adapt(on_device("exact")).history.held_out;
  const std::vector<float> rounded = adapt(on_device("rounded", Dtype::bfloat16)).history.held_out;
  ASSERT_EQ(exact.size(), expected.size());
  ASSERT_EQ(rounded.size(), expected.size());
  // There is something to agree on.
  EXPECT_GT(std::abs(expected.back() - expected.front()), 0.002F * expected.front());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(exact[i], expected[i], 1e-4 * expected[i]) << i;
    EXPECT_NEAR(rounded[i], expected[i], 0.02 * expected[i]) << i;
  }
}

TEST_F(PreprocessOnDevice, AnyMeshGivesTheSameBytes) {
  for (const TrainingLoss loss : {TrainingLoss::cross_entropy, TrainingLoss::divergence}) {
    const std::string last(word_of(loss));
    const auto job = [&](const std::string& name, int stages) {
      PreprocessOptions o = on_device(name + last);
      o.loss = loss;
      o.stages = stages;
      return o;
    };
    adapt(job("whole", 1));
    adapt(job("replicas", 1), 2);
    adapt(job("mesh", 2), 4);
    EXPECT_TRUE(bytes("replicas" + last) == bytes("whole" + last)) << last;
    EXPECT_TRUE(bytes("mesh" + last) == bytes("whole" + last)) << last;
  }
}

}  // namespace
}  // namespace bitmill
