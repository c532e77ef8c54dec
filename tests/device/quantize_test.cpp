// Whole jobs on a GPU, or on the emulation of one.

#include "pipeline/quantize.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/token_file.hpp"
#include "data/token_text.hpp"
#include "device/device.hpp"
#include "eval/evaluate.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

class QuantizeOnDevice : public TinyJob {
 protected:
  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    if (!host.problem.empty()) GTEST_SKIP() << host.problem;
  }

  QuantizeOptions on_device(const std::string& name, Dtype dtype = Dtype::float32) {
    QuantizeOptions o = options(name);
    o.backend = "cuda";
    o.dtype = dtype;
    return o;
  }

  static void learn_signs(QuantizeOptions& o) {
    o.method.learned = {true, true, true};
    o.method.lr_sign = 3e-3;
    o.method.int4_clip = true;
    o.lag = 1;
  }

  // The tensors of the two results whose names end so, as bytes.
  void expect_same(const std::string& a, const std::string& b, const std::string& ending) {
    const TensorFolder left(*files_, folder_ / a), right(*files_, folder_ / b);
    ASSERT_EQ(left.names(), right.names());
    int compared = 0;
    for (const std::string& name : left.names()) {
      if (!name.ends_with(ending)) continue;
      std::vector<std::byte> x(left.info(name).bytes), y(right.info(name).bytes);
      left.read(name, x);
      right.read(name, y);
      EXPECT_EQ(x, y) << name;
      ++compared;
    }
    EXPECT_GT(compared, 0) << ending;
  }

  double perplexity(const std::string& folder, const std::string& backend) {
    return perplexity(
        folder, backend,
        evaluation_windows(read_token_file(*files_, folder_ / "calib.safetensors", 31), 12, 0));
  }
  double perplexity(const std::string& folder, const std::string& backend, const Windows& windows) {
    QuantizeOptions where;
    where.backend = backend;
    const SourceModel model(*files_, folder_ / folder);
    double result = 0;
    on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
      StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
      result =
          evaluate(model, nullptr, windows, budget, comm, *device_of(where, pool), {}).perplexity;
    });
    return result;
  }
};

// A trained model, where differences of the last bits have a chance to grow.
TEST_F(QuantizeOnDevice, ATrainedModelHasTheMasksAndCodesOfTheCpuAndItsPerplexity) {
  const std::string shared = BITMILL_SOURCE_DIR "/../shared/";
  const std::string model = shared + "models/stories260K";
  const std::string text = shared + "text/tinystories/train.txt";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no " << model << " on this machine";
  const auto job = [&](QuantizeOptions o, uint64_t seed) {
    o.model = model;
    o.calib = text;
    o.samples = 8;
    o.seq_len = 32;
    o.epochs = 4;
    o.seed = seed;
    run(o);
  };
  job(on_device("device"), 0);
  const SourceModel source(*files_, model);
  const Tokens tokens = read_tokens(*files_, text, model, source.config().vocab_size, "");
  const Windows windows = evaluation_windows(tokens, 32, 16);
  // Which channels are salient is decided by their inputs, which are rounded here. One channel more
  // or less changes so small a run by several percent, either way: so the mean of three draws.
  double of_bfloat16 = 0;
  for (const uint64_t seed : {0, 1, 2}) {
    const std::string host = fmt::format("host{}", seed), half = fmt::format("half{}", seed);
    job(options(host), seed);
    job(on_device(half, Dtype::bfloat16), seed);
    of_bfloat16 +=
        std::log(perplexity(half, "cpu", windows) / perplexity(host, "cpu", windows)) / 3;
  }
  EXPECT_NEAR(of_bfloat16, 0, 0.02);
  for (const char* part : {".mask", ".codes", ".signs"}) expect_same("host0", "device", part);
  const double host = perplexity("host0", "cpu", windows);
  EXPECT_NEAR(perplexity("device", "cpu", windows), host, 0.005 * host);
}

// What no training touches is decided by numbers of which the last bits do not matter.
TEST_F(QuantizeOnDevice, MasksCodesAndSignsAreThoseOfTheCpuAndPerplexityIsClose) {
  run(options("host"));
  run(on_device("device"));
  for (const char* part : {".mask", ".codes", ".signs", ".code_zero"}) {
    expect_same("host", "device", part);
  }
  const double there = perplexity("device", "cpu"), here = perplexity("host", "cpu");
  EXPECT_NEAR(there, here, 0.005 * here);
  EXPECT_NEAR(perplexity("device", "cuda"), there, 1e-3 * there);
}

TEST_F(QuantizeOnDevice, Bfloat16IsClose) {
  run(options("host"));
  run(on_device("device", Dtype::bfloat16));
  const double here = perplexity("host", "cpu");
  EXPECT_NEAR(perplexity("device", "cpu"), here, 0.02 * here);
}

TEST_F(QuantizeOnDevice, RanksStopsAndScratchFilesGiveTheSameBytes) {
  run(on_device("one"));
  run(on_device("two"), 2);
  EXPECT_TRUE(bytes("one") == bytes("two"));
  QuantizeOptions stopped = on_device("stopped");
  stopped.stream_memory = 2000;
  stop_early(stopped);
  stopped.resume = Resume::required;
  run(stopped);
  EXPECT_TRUE(bytes("one") == bytes("stopped"));
}

TEST_F(QuantizeOnDevice, EverythingThatCanBeLearnedIsLearnedThere) {
  QuantizeOptions host = options("host"), device = on_device("device"),
                  stages = on_device("stages");
  for (QuantizeOptions* o : {&host, &device, &stages}) learn_signs(*o);
  stages.stages = 2;
  const QuantizeResult here = run(host), there = run(device);
  ASSERT_EQ(here.blocks.size(), there.blocks.size());
  for (size_t block = 0; block < here.blocks.size(); ++block) {
    EXPECT_NEAR(there.blocks[block].first_loss, here.blocks[block].first_loss,
                1e-3 * std::abs(here.blocks[block].first_loss));
    EXPECT_NEAR(there.blocks[block].last_loss, here.blocks[block].last_loss,
                0.02 * std::abs(here.blocks[block].last_loss));
  }
  run(stages, 2);
  EXPECT_TRUE(bytes("device") == bytes("stages"));
}

// Descent makes linears on the host, and the device trains them.
TEST_F(QuantizeOnDevice, WhatDescentMadeOnTheHostIsTrainedAndPackedThere) {
  for (const bool learns : {false, true}) {
    const std::string name = learns ? "signs-" : "scales-";
    QuantizeOptions host = options(name + "host"), device = on_device(name + "device"),
                    stopped = on_device(name + "stopped");
    for (QuantizeOptions* o : {&host, &device, &stopped}) {
      if (learns) learn_signs(*o);
      o->method.init = Init::descent;
    }
    run(host);
    run(device);
    const double here = perplexity(name + "host", "cpu");
    EXPECT_NEAR(perplexity(name + "device", "cpu"), here, 0.005 * here);
    stop_early(stopped);
    stopped.resume = Resume::required;
    run(stopped);
    EXPECT_TRUE(bytes(name + "stopped") == bytes(name + "device"));
  }
}

TEST_F(QuantizeOnDevice, ALossThatIsNotFiniteIsNamedBeforeAnythingIsKept) {
  QuantizeOptions o = on_device("out");
  o.method.lr_gain = 1e30;
  EXPECT_NE(message(o).find("lower --lr-scale"), std::string::npos) << message(o);
  if (files_->exists(o.work_dir + "/blocks.jsonl")) {
    EXPECT_TRUE(logged_epochs(o.work_dir).empty());
  }
}

}  // namespace
}  // namespace bitmill
