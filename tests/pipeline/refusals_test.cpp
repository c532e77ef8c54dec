// The whole job on a tiny model: what bad input gets.

#include "pipeline/quantize.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>

#include "base/error.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Quantize = TinyJob;

TEST_F(Quantize, WeightThatIsNotFiniteIsNamed) {
  auto tensors = test::tiny_tensors(config_);
  for (TensorSource& tensor : tensors) {
    if (tensor.name != "model.layers.1.mlp.up_proj.weight") continue;
    tensor.produce = [bytes = tensor.bytes()](const ByteSink& sink) {
      std::vector<float> values(bytes / 4, 0.5F);
      values[3] = std::numeric_limits<float>::quiet_NaN();
      sink(std::as_bytes(std::span(values)));
    };
  }
  test::write_model(*files_, folder_ / "model", config_, tensors);
  EXPECT_THAT(message(options("out")), HasSubstr("model.layers.1.mlp.up_proj.weight"));
}

TEST_F(Quantize, LossThatIsNotFiniteNamesBlockEpochAndSample) {
  QuantizeOptions o = options("out");
  o.method.lr_scale = o.method.lr_gain = 1e30;
  const std::string text = message(o);
  EXPECT_THAT(text, HasSubstr("block 0"));
  EXPECT_THAT(text, HasSubstr("sample"));
  o.method.lr_scale = o.method.lr_gain = 1e-2;
  run(o);
}

// Makes all weights of one matrix `factor`.
void make_huge(std::vector<TensorSource>& tensors, const std::string& name, float factor) {
  for (TensorSource& tensor : tensors) {
    if (tensor.name != name) continue;
    tensor.produce = [bytes = tensor.bytes(), factor](const ByteSink& sink) {
      const std::vector<float> values(bytes / 4, factor);
      sink(std::as_bytes(std::span(values)));
    };
  }
}

// The cause is not a rate, and is found where it arises: long before a loss.
TEST_F(Quantize, AnActivationThatIsNotFiniteIsNamedWithItsBlockAndRightAdvice) {
  auto tensors = test::tiny_tensors(config_);
  make_huge(tensors, "model.layers.1.mlp.up_proj.weight", 1e20F);
  make_huge(tensors, "model.layers.1.mlp.down_proj.weight", 3e38F);
  test::write_model(*files_, folder_ / "model", config_, tensors);
  for (const Dtype dtype : {Dtype::float32, Dtype::float16}) {
    QuantizeOptions o = options(std::string(dtype_word(dtype)));
    o.stream_dtype = dtype;
    EXPECT_THAT(message(o), AllOf(HasSubstr("the full-precision block 1 gives"),
                                  HasSubstr("no rate is the cause"), Not(HasSubstr("--lr"))));
  }
}

TEST_F(Quantize, AnActivationBeyondFloat16IsNamedWithItsBlockAndAnotherDtype) {
  auto tensors = test::tiny_tensors(config_);
  make_huge(tensors, "model.layers.1.mlp.down_proj.weight", 1e7F);
  test::write_model(*files_, folder_ / "model", config_, tensors);
  QuantizeOptions o = options("out");
  o.stream_dtype = Dtype::float16;
  EXPECT_THAT(message(o), AllOf(HasSubstr("the full-precision block 1 gives"),
                                HasSubstr("--stream-dtype bfloat16 or float32")));
}

// Squares of these leave float32, though they do not.
TEST_F(Quantize, ALossThatNoRateCouldHelpDoesNotAskForALowerOne) {
  auto tensors = test::tiny_tensors(config_);
  make_huge(tensors, "model.layers.1.mlp.down_proj.weight", 1e25F);
  test::write_model(*files_, folder_ / "model", config_, tensors);
  EXPECT_THAT(message(options("out")),
              AllOf(HasSubstr("the loss of block 1"), HasSubstr("no rate is the cause"),
                    Not(HasSubstr("--lr"))));
}

// For the comparison of recipes over seeds.
TEST_F(Quantize, TextShorterThanAWindowIsRefused) {
  QuantizeOptions o = options("out");
  Tokens few;
  few.ids = {1, 2, 3};
  write_token_file(*files_, o.calib, few);
  EXPECT_THAT(message(o), HasSubstr("3 tokens"));
}

TEST_F(Quantize, TokenBeyondTheVocabularyIsRefused) {
  write_tokens(200);
  EXPECT_THAT(message(options("out")), HasSubstr("31"));
}

TEST_F(Quantize, OutputFolderThatIsNotEmptyIsRefusedAndKept) {
  folder_.write("out/precious.txt", "mine");
  QuantizeOptions o = options("out");
  EXPECT_THROW(run(o), UsageError);
  EXPECT_EQ(folder_.read("out/precious.txt"), "mine");
}

// Between the check and the work a rank waits for the slowest of all.
TEST_F(Quantize, WhatSomebodyPutsIntoTheOutputFolderAfterTheCheckIsRefusedAndKept) {
  const QuantizeOptions o = options("out");
  std::atomic<int> left = 0;
  const auto too_late = [&](Communicator& comm, ThreadPool& pool) {
    const CheckedQuantize checked = check_quantize(o, *files_, comm.size(), 1);
    comm.barrier();
    if (comm.rank() == 0) folder_.write("out/precious.txt", "mine");
    QuantizeObserver silent;
    try {
      quantize(checked, *files_, comm, *cpu_device(pool), silent, control_);
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("out is not empty"));
      ++left;
      throw;
    }
  };
  for (const int ranks : {1, 2}) {
    left = 0;
    EXPECT_THROW(on_ranks(ranks, 1, too_late), Error);
    EXPECT_EQ(left, 1) << "rank 0 finds it";
    EXPECT_EQ(folder_.read("out/precious.txt"), "mine");
    files_->remove_tree(o.output_dir);
  }
}

TEST_F(Quantize, PackedFolderAsSourceIsRefused) {
  run(options("out"));
  QuantizeOptions again = options("again");
  again.model = folder_ / "out";
  EXPECT_THAT(message(again), HasSubstr("packed already"));
}

TEST_F(Quantize, SettingsThatContradictAreRefused) {
  const auto refused = [&](auto change) {
    QuantizeOptions o = options("out");
    change(o);
    EXPECT_THROW(run(o), UsageError);
  };
  refused([](QuantizeOptions& o) { o.batch = 0; });
  refused([](QuantizeOptions& o) { o.batch = 12; });
  refused([](QuantizeOptions& o) { o.epochs = 0; });
  refused([](QuantizeOptions& o) { o.lag = 3; });
  refused([](QuantizeOptions& o) { o.seq_len = 65; });
  refused([](QuantizeOptions& o) { o.ignore = "("; });
  refused([](QuantizeOptions& o) { o.ignore = "."; });
  refused([](QuantizeOptions& o) { o.backend = "cuda"; });
  refused([](QuantizeOptions& o) { o.method.lr_gain = -1; });
}

}  // namespace
}  // namespace bitmill
