// Learned signs and all that goes with them through the whole job: the same bytes whoever computes
// and whatever stops it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/claim.hpp"
#include "checkpoint/run_state.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

class LearnedSigns : public TinyJob {
 protected:
  // All that the method has beyond the paper, at once.
  QuantizeOptions everything_learned(const std::string& name) {
    QuantizeOptions o = options(name);
    o.epochs = 4;
    o.batch = 3;
    o.method.int4_range = Int4Range::salient;
    o.method.int4_clip = o.method.center = true;
    o.method.init = Init::descent;
    o.method.loss = {ErrorKind::relative, 1.0, 0.5};
    o.method.learned = {true, true, true};
    o.method.schedule = RateSchedule::cosine;
    return o;
  }
};

TEST_F(LearnedSigns, GiveTheSameBytesForAnyRanksThreadsAndLags) {
  for (const int lag : {4, 1}) {
    QuantizeOptions one = everything_learned("one" + std::to_string(lag));
    one.lag = lag;
    run(one);
    for (const int ranks : {2, 3, 5}) {
      QuantizeOptions many = everything_learned(fmt::format("lag{}x{}", lag, ranks));
      many.lag = lag;
      run(many, ranks, 1 + ranks % 3);
      EXPECT_TRUE(bytes(file_name(many.output_dir)) == bytes(file_name(one.output_dir)))
          << "lag " << lag << ", ranks " << ranks;
    }
  }
}

TEST_F(LearnedSigns, StoppedAnywhereGiveTheSameBytes) {
  for (const bool half : {false, true}) {
    QuantizeOptions whole = everything_learned(half ? "half" : "full");
    whole.half_latents = half;
    whole.lag = 2;
    run(whole, 2);
    for (int leave_at = 2; leave_at < 40; leave_at += 7) {
      QuantizeOptions o = everything_learned(fmt::format("{}at{}", half, leave_at));
      o.half_latents = half;
      o.lag = 2;
      stop_early(o, leave_at);
      run(o, 1 + leave_at % 3);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(whole.output_dir)))
          << "16 bit " << half << ", left at " << leave_at;
    }
  }
}

// What three ranks hold of the moments, in slices that do not end where linears do, is gathered
// into one file and handed out again.
TEST_F(LearnedSigns, StoppedInTheMiddleOfAnEpochOnThreeRanksGoOnOnFewer) {
  for (const bool half : {false, true}) {
    const auto named = [&](const std::string& name) {
      QuantizeOptions o = everything_learned(fmt::format("{}-{}", name, half));
      o.half_latents = half;
      return o;
    };
    const QuantizeOptions whole = named("whole");
    run(whole);
    for (const int ranks : {1, 2}) {
      const QuantizeOptions o = named(fmt::format("on{}", ranks));
      stop_early(o, 9, 3);
      const RunState state(*files_, find_state(*files_, o.work_dir)->path);
      EXPECT_NE(state.live_progress(0).steps % 4, 0) << "not in the middle: an epoch has 4 steps";
      run(o, ranks);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(whole.output_dir)))
          << "16 bit " << half << ", resumed on " << ranks;
    }
  }
}

// The last batch is a single sample: of three replicas, two have none of it.
TEST_F(LearnedSigns, GiveTheSameBytesOnEveryMeshAndWalk) {
  use_blocks(3);
  for (const int lag : {4, 2, 1}) {
    const auto named = [&](const std::string& name) {
      QuantizeOptions o = everything_learned(fmt::format("lag{}-{}", lag, name));
      o.samples = 4;
      o.lag = lag;
      return o;
    };
    const QuantizeOptions one = named("one");
    run(one);
    for (const Mesh& mesh : {Mesh{2, 1}, Mesh{2, 2}, Mesh{3, 1}, Mesh{2, 3}}) {
      for (const Walk walk : {Walk::wavefront, Walk::sweep}) {
        QuantizeOptions many =
            named(fmt::format("{}x{}-{}", mesh.stages, mesh.replicas, static_cast<int>(walk)));
        many.stages = mesh.stages;
        many.walk = walk;
        run(many, mesh.ranks());
        ASSERT_TRUE(bytes(file_name(many.output_dir)) == bytes(file_name(one.output_dir)))
            << many.output_dir;
      }
    }
  }
}

// The backends' gradients differ in the last bits: a latent that passes 0 may do so a step earlier
// with one of them, and a scale may be rounded to the next float16. A block has 1200 binary
// weights, so that a hundredth of its loss is what about ten signs are worth.
TEST_F(LearnedSigns, OfTheReferenceAreTheSameForAnyRanksAndNearThoseOfTheCpuBackend) {
  QuantizeOptions one = everything_learned("one"), three = everything_learned("three");
  one.backend = three.backend = "reference";
  const QuantizeResult truth = run(one);
  run(three, 3, 2);
  EXPECT_TRUE(bytes("three") == bytes("one"));

  const QuantizeResult fast = run(everything_learned("cpu"));
  ASSERT_EQ(truth.blocks.size(), 2U);
  ASSERT_EQ(fast.blocks.size(), 2U);
  for (size_t block = 0; block < 2; ++block) {
    const BlockReport& expected = truth.blocks[block];
    const double tolerance = 0.01 * expected.last_loss;
    EXPECT_NEAR(fast.blocks[block].last_loss, expected.last_loss, tolerance) << "block " << block;
    EXPECT_GT(expected.first_loss - expected.last_loss, 5 * tolerance)
        << "too little was learned in block " << block << " for the losses to tell anything";
  }
}

TEST_F(LearnedSigns, EverySettingBeyondThePaperChangesTheResult) {
  std::vector<std::string> seen;
  const auto result_of = [&](auto change) {
    QuantizeOptions o = options(std::to_string(seen.size()));
    change(o.method);
    run(o);
    seen.push_back(bytes(file_name(o.output_dir)));
  };
  result_of([](MethodSettings&) {});
  result_of([](MethodSettings& m) { m.learned.signs = true; });
  result_of([](MethodSettings& m) { m.learned.row_means = true; });
  result_of([](MethodSettings& m) { m.learned.code_scales = true; });
  result_of([](MethodSettings& m) { m.int4_clip = true; });
  result_of([](MethodSettings& m) { m.center = true; });
  result_of([](MethodSettings& m) { m.loss.error = ErrorKind::relative; });
  result_of([](MethodSettings& m) { m.loss.homologous = 0; });
  result_of([](MethodSettings& m) { m.init = Init::descent; });
  result_of([](MethodSettings& m) { m.schedule = RateSchedule::cosine; });
  for (size_t a = 0; a < seen.size(); ++a) {
    EXPECT_EQ(seen[a].size(), seen[0].size()) << "the packed form grew";
    for (size_t b = 0; b < a; ++b) EXPECT_FALSE(seen[a] == seen[b]) << a << " and " << b;
  }
}

}  // namespace
}  // namespace bitmill
