// `tune` on a GPU, or on the emulation of one.

#include "pipeline/tune.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/token_file.hpp"
#include "device/device.hpp"
#include "eval/evaluate.hpp"
#include "format/dtype.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/tuned_model.hpp"

namespace bitmill {
namespace {

class TuneOnDevice : public Tune {
 protected:
  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    if (!host.problem.empty()) GTEST_SKIP() << host.problem;
  }

  TuneOptions on_device(const std::string& name, Dtype dtype = Dtype::float32) {
    TuneOptions o = tuning(name);
    o.backend = "cuda";
    o.dtype = dtype;
    return o;
  }

  // The values of a float16 tensor of a result.
  std::vector<float> halves(const std::string& folder, const std::string& tensor) {
    const TensorFolder tensors(*files_, folder_ / folder);
    std::vector<std::byte> raw(tensors.info(tensor).bytes);
    tensors.read(tensor, raw);
    std::vector<float> values(raw.size() / 2);
    to_float32(Dtype::float16, raw, values);
    return values;
  }

  // The largest change of a scale from the packed model to `folder`, and the largest difference
  // between `folder` and `other`, both as parts of the scale.
  std::pair<float, float> change_and_difference(const std::string& folder,
                                                const std::string& other) {
    float change = 0, difference = 0;
    for (const std::string& name : TensorFolder(*files_, folder_ / folder).names()) {
      if (!name.ends_with(".row_scale") && !name.ends_with(".col_gain")) continue;
      const std::vector<float> before = halves("packed", name), a = halves(folder, name),
                               b = halves(other, name);
      for (size_t i = 0; i < a.size(); ++i) {
        change = std::max(change, std::abs(a[i] / before[i] - 1));
        difference = std::max(difference, std::abs(a[i] - b[i]) / std::abs(before[i]));
      }
    }
    return {change, difference};
  }

  double perplexity(const std::string& folder) {
    const SourceModel model(*files_, folder_ / folder);
    const Windows windows =
        evaluation_windows(read_token_file(*files_, folder_ / "calib.safetensors", 31), 12, 0);
    const auto comm = self_communicator();
    ThreadPool pool(1);
    StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
    return evaluate(model, nullptr, windows, budget, *comm, *cpu_device(pool), {}).perplexity;
  }
};

TEST_F(TuneOnDevice, FactorsAndDivergencesAreThoseOfTheCpu) {
  const TuningHistory here = tune_on(tuning("host")).history;
  const TuningHistory there = tune_on(on_device("device")).history;
  ASSERT_GT(here.best(), 0);
  EXPECT_EQ(there.best(), here.best());
  ASSERT_EQ(there.held_out_kl.size(), here.held_out_kl.size());
  for (size_t i = 0; i < here.held_out_kl.size(); ++i) {
    EXPECT_NEAR(there.held_out_kl[i], here.held_out_kl[i], 0.005F * here.held_out_kl[i]) << i;
  }
  const auto [change, difference] = change_and_difference("host", "device");
  EXPECT_GT(change, 0.02F);
  EXPECT_LT(difference, 0.1F * change);
  EXPECT_NEAR(divergence("device"), divergence("host"), 0.005 * divergence("host"));
  EXPECT_NEAR(perplexity("device"), perplexity("host"), 0.005 * perplexity("host"));
}

TEST_F(TuneOnDevice, Bfloat16IsClose) {
  tune_on(tuning("host"));
  const TuneResult there = tune_on(on_device("device", Dtype::bfloat16));
  EXPECT_GT(there.history.best(), 0);
  EXPECT_NEAR(perplexity("device"), perplexity("host"), 0.02 * perplexity("host"));
  EXPECT_LT(divergence("device"), divergence("packed"));
}

TEST_F(TuneOnDevice, AnyRanksStagesAndStopsGiveTheSameBytes) {
  const TuneResult whole = tune_on(on_device("whole"));
  ASSERT_GT(whole.history.best(), 0);
  TuneOptions replicas = on_device("replicas"), stages = on_device("stages");
  tune_on(replicas, 2);
  stages.stages = 2;
  stages.stream_memory = 3000;  // a few samples
  tune_on(stages, 2);
  TuneOptions stopped = on_device("stopped");
  stop_tuning(stopped, 7);  // after some steps
  stopped.resume = Resume::required;
  const TuneResult resumed = tune_on(stopped);
  EXPECT_EQ(resumed.history.held_out_kl, whole.history.held_out_kl);
  for (const char* name : {"replicas", "stages", "stopped"}) {
    EXPECT_TRUE(bytes(name) == bytes("whole")) << name;
  }
}

TEST_F(TuneOnDevice, SignsHaveTheSameBytesOnAnyRanksStagesAndStopsAndAreNearTheCpus) {
  const auto with_signs = [&](const std::string& name) {
    TuneOptions o = on_device(name);
    o.samples = 40;  // so many that one epoch gains something
    o.epochs = 1;
    o.learn_signs = true;
    o.sign_rate = 0.02;  // there are few steps
    return o;
  };
  TuneOptions host = with_signs("host");
  host.backend = "cpu";
  const TuningHistory here = tune_on(host).history;
  const TuningHistory whole = tune_on(with_signs("whole")).history;
  ASSERT_GT(whole.best(), 0);
  EXPECT_NEAR(whole.held_out_kl.back(), here.held_out_kl.back(), 1e-3F * here.held_out_kl.front());
  TuneOptions replicas = with_signs("replicas"), stages = with_signs("stages");
  tune_on(replicas, 2);
  stages.stages = 2;
  tune_on(stages, 4);
  TuneOptions stopped = with_signs("stopped");
  stop_tuning(stopped, 7);  // after some steps
  stopped.resume = Resume::required;
  stopped.stages = 2;
  tune_on(stopped, 2);
  for (const char* name : {"replicas", "stages", "stopped"}) {
    EXPECT_TRUE(bytes(name) == bytes("whole")) << name;
  }
}

// What goes from stage to stage and waits in streams is float32 there, which loses nothing.
TEST_F(TuneOnDevice, Bfloat16HasTheSameBytesOnAnyStages) {
  tune_on(on_device("one", Dtype::bfloat16));
  TuneOptions stages = on_device("stages", Dtype::bfloat16);
  stages.stages = 2;
  tune_on(stages, 2);
  EXPECT_TRUE(bytes("one") == bytes("stages"));
}

TEST_F(TuneOnDevice, TheResultSaysWhatComputedAndAnotherDtypeIsAnotherJob) {
  TuneOptions o = on_device("device", Dtype::bfloat16);
  tune_on(o);
  const auto config = nlohmann::json::parse(folder_.read("device/config.json"));
  const auto& record = config.at(nlohmann::json::json_pointer(tuning_record));
  EXPECT_EQ(record.at("settings").at("backend"), "cuda");
  EXPECT_EQ(record.at("settings").at("dtype"), "bfloat16");
  EXPECT_THAT(record.at("numerics_class").get<std::string>(), testing::HasSubstr("bfloat16"));
  o.dtype = Dtype::float32;
  EXPECT_THAT(tuning_message(o), testing::HasSubstr("dtype is \"bfloat16\" there"));
}

// The window of a latent is applied by who steps, not by this backend.
TEST_F(TuneOnDevice, GradientOfTheWholeModelIsAutogradsInFloat64) {
  ThreadPool pool(1);
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const auto device = device_of("cuda", dtype, pool);
    TunedModel whole(*files_, folder_ / "packed", folder_ / "model", *device,
                     {.code_scales = true, .signs = true});
    const at::Tensor factors = whole.some_factors();
    at::Tensor mine;
    whole.run(factors, &mine);
    const at::Tensor theirs = whole.autograd_gradient(factors);
    // With these signs, 0.07 is the largest difference that bfloat16 makes.
    const float most = dtype == Dtype::float32 ? 1e-4F : 0.1F;
    for (const LearnedSegment& segment : whole.layout().segments()) {
      const at::Tensor a = mine.narrow(0, segment.offset, segment.size);
      const at::Tensor b = theirs.narrow(0, segment.offset, segment.size);
      EXPECT_GT(b.norm().item<float>(), 0);
      EXPECT_LE((a - b).norm().item<float>(), most * b.norm().item<float>() + 1e-7F)
          << dtype_word(dtype) << ", linear " << segment.linear << ", " << segment.name;
    }
  }
}

}  // namespace
}  // namespace bitmill
