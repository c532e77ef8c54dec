// What the streams that a stop keeps in the run folder spare the next start, on any mesh.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "forwarding_files.hpp"
#include "pipeline/kept_streams_job.hpp"

namespace bitmill {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A run that was stopped and goes on on the same mesh replays nothing but what the stop found
// packed and not handed on: at most a block of every turn.
TEST_F(KeptStreamsJob, SpareEveryMeshTheReplays) {
  for (const int lag : {2, 1}) {
    QuantizeOptions whole = keeping(fmt::format("whole{}", lag), lag);
    run(whole);
    for (const MeshShape& shape : mesh_shapes) {
      int kept = 0;
      const std::vector<int> points = lag == 1 ? std::vector{52, 110} : std::vector{14, 24};
      for (const int leave_at : points) {
        const QuantizeOptions o = on(keeping("out", lag), shape);
        const std::string where =
            fmt::format("lag {} on {}, left at {}", lag, shape.name(), leave_at);
        const auto stopped = heard(o, leave_at);
        EXPECT_EQ(status_of(o).kept_stream_bytes > 0, !stopped.empty()) << where;
        const auto resumed = heard(o);
        EXPECT_EQ(status_of(o).kept_stream_bytes, 0) << where;
        EXPECT_TRUE(bytes("out") == bytes(file_name(whole.output_dir))) << where;
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("cannot be used")))) << where;
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("kept streams: it goes on")))) << where;
        if (!stopped.empty()) {
          ++kept;
          EXPECT_THAT(stopped, ElementsAre(HasSubstr("keeping the streams of block"))) << where;
          ASSERT_FALSE(resumed.empty()) << where;
          EXPECT_THAT(resumed.front(), HasSubstr("were kept and are read")) << where;
          EXPECT_LE(replays(resumed), o.epochs / o.lag) << where;
        }
        remove_all(o);
      }
      EXPECT_EQ(kept, 2) << "lag " << lag << " on " << shape.name();
    }
  }
}

TEST_F(KeptStreamsJob, GiveTheSameBytesOnAnyOtherMesh) {
  for (const int lag : {2, 1}) {
    const Dtype dtype = lag == 1 ? Dtype::bfloat16 : Dtype::float32;
    QuantizeOptions whole = keeping(fmt::format("whole{}", lag), lag, dtype);
    run(whole);
    int pairs = 0, used = 0;
    for (const MeshShape& from : mesh_shapes) {
      for (const MeshShape& to : mesh_shapes) {
        if (++pairs % (lag == 1 ? 2 : 3) != 0) continue;
        const int left_at = (lag == 1 ? 45 : 12) + pairs;
        const QuantizeOptions o = keeping("out", lag, dtype);
        const std::string where = fmt::format("lag {}, left at {} on {}, then on {}", lag, left_at,
                                              from.name(), to.name());
        heard(on(o, from), left_at);
        const auto resumed = heard(on(o, to));
        used += testing::Value(resumed, Contains(HasSubstr("were kept and are read")));
        EXPECT_THAT(resumed, Not(Contains(HasSubstr("cannot be used")))) << where;
        EXPECT_TRUE(bytes("out") == bytes(file_name(whole.output_dir))) << where;
        remove_all(o);
      }
    }
    EXPECT_GT(used, 5) << "lag " << lag;
  }
}

// Turn 0 alone has come to block 2. The other turns of a wider band begin with block 0, and need
// the teacher from there on.
TEST_F(KeptStreamsJob, WhereABandNeedsTheTeacherFromItsBeginningItIsReplayed) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = keeping("out", 1);
  EXPECT_EQ(heard(o, 18).size(), 1U);
  EXPECT_THAT(heard(on(o, {2, 1, Walk::sweep})),
              ElementsAre(HasSubstr("uses 0 of 2 kept streams"), HasSubstr("replaying")));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(KeptStreamsJob, WhatCostsMoreThanReplayingIsNotKept) {
  QuantizeOptions o = on(keeping("out"), {2, 1, Walk::sweep});
  o.resume_costs = {1, 6, 1};
  EXPECT_THAT(heard(o, 24), IsEmpty());
  EXPECT_THAT(heard(o), ElementsAre(HasSubstr("replaying")));
}

// Block 0 is not loaded any more, but the result has its norms and was made from its weights.
TEST_F(KeptStreamsJob, ChangedWeightsOfABlockThatIsNotLoadedAreRefused) {
  QuantizeOptions whole = keeping("whole");
  run(whole);
  for (const MeshShape& shape : {MeshShape{1, 1, Walk::sweep}, MeshShape{2, 2, Walk::sweep}}) {
    const QuantizeOptions o = on(keeping("out"), shape);
    EXPECT_THAT(heard(o, 24), Contains(HasSubstr("keeping the streams of block"))) << shape.name();
    for (const std::string name :
         {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.input_layernorm.weight"}) {
      change(name);
      try {
        heard(o);
        ADD_FAILURE() << name << " on " << shape.name();
      } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), HasSubstr("begun with other weights: tensor \"" + name));
      }
      use_blocks(5);
    }
    EXPECT_THAT(heard(o), Contains(HasSubstr("were kept and are read"))) << shape.name();
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// Every block is packed, and none is loaded again for the result that could not be made.
TEST_F(KeptStreamsJob, ChangedWeightsAreFoundThoughEveryBlockIsPacked) {
  struct NoRoom final : ForwardingFiles {
    void rename(const std::string& from, const std::string& to) override {
      if (from.ends_with("/out.partial")) throw FileError("no room for " + to);
      ForwardingFiles::rename(from, to);
    }
  } disk;
  QuantizeOptions whole = keeping("whole");
  run(whole);
  for (const MeshShape& shape : {MeshShape{1, 1, Walk::sweep}, MeshShape{2, 2, Walk::sweep}}) {
    const QuantizeOptions o = on(keeping("out"), shape);
    EXPECT_THROW(heard_where(o, -1, [&](int) -> Files& { return disk; }), FileError)
        << shape.name();
    EXPECT_EQ(status_of(o).blocks_done, 5) << shape.name();
    const std::string name = "model.layers.0.input_layernorm.weight";
    change(name);
    try {
      heard(o);
      ADD_FAILURE() << "not found on " << shape.name();
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("begun with other weights: tensor \"" + name));
    }
    EXPECT_FALSE(files_->exists(o.output_dir)) << shape.name();
    use_blocks(5);
    heard(o);
    EXPECT_TRUE(bytes("out") == bytes("whole")) << shape.name();
    remove_all(o);
  }
}

// One is read at turn 1, long after the start: until then it stays, also after another stop.
TEST_F(KeptStreamsJob, OfALaterTurnTheyWaitUntilTheyAreRead) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = keeping("out", 1);
  heard(on(o, {2, 1, Walk::sweep}), 50);
  const auto said = heard(o, 6);
  EXPECT_THAT(said, Contains(HasSubstr("at turn 1")));
  const auto again = heard(o);
  EXPECT_THAT(again, Contains(HasSubstr("at turn 1")));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

}  // namespace
}  // namespace bitmill
