// Streams that a stop keeps in the run folder, and starts that read them.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "forwarding_files.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

// Hears what a start says of streams and replays.
struct Sayings final : QuantizeObserver {
  void phase_begins(const std::string& phase) override {
    for (const char* word :
         {"streams of block", "the streams are not kept", "cannot be used", "replaying"}) {
      if (phase.find(word) != phase.npos) return said.push_back(phase);
    }
  }
  std::vector<std::string> said;
};

class KeptStreamsJob : public TinyJob {
 protected:
  KeptStreamsJob() { use_blocks(4); }

  QuantizeOptions keeping(const std::string& name, Dtype dtype = Dtype::float32) {
    QuantizeOptions o = options(name);
    o.batch = 3;
    o.stream_dtype = dtype;
    o.resume_costs = {1, 0, 1};  // a replay takes a second, and the streams nothing
    return o;
  }
  // What rank 0 says.
  std::vector<std::string> heard(const QuantizeOptions& o, int ranks, int leave_at = -1) {
    std::vector<std::string> said;
    on_ranks(ranks, 1, [&](Communicator& comm, ThreadPool& pool) {
      Sayings sayings;
      RunControl control = control_;
      control.wishes.asked = [leave_at, left = 0]() mutable {
        return left++ == leave_at ? "SIGTERM" : "";
      };
      try {
        check_and_quantize(o, *files_, comm, pool, sayings, control);
        EXPECT_EQ(leave_at, -1);
      } catch (const AgreedStop&) {
        EXPECT_NE(leave_at, -1);
      }
      if (comm.rank() == 0) said = sayings.said;
    });
    return said;
  }
};

// Left before block 2 is loaded, in its training, and after it is packed.
TEST_F(KeptStreamsJob, GiveTheSameBytesOnAnyNumberOfRanks) {
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    QuantizeOptions whole = keeping(fmt::format("whole{}", dtype_bytes(dtype)), dtype);
    run(whole);
    int kept = 0;
    for (int leave_at = 26; leave_at < 40; ++leave_at) {
      QuantizeOptions o = keeping("out", dtype);
      const auto stopped = heard(o, 1 + leave_at % 3, leave_at);
      const auto resumed = heard(o, 1 + (leave_at / 3) % 3);
      EXPECT_TRUE(bytes("out") == bytes(file_name(whole.output_dir))) << "left at " << leave_at;
      if (!stopped.empty()) {
        ++kept;
        EXPECT_THAT(stopped, testing::ElementsAre(HasSubstr("keeping the streams of block")));
        EXPECT_THAT(resumed.front(), HasSubstr("were kept and are read")) << "left at " << leave_at;
        EXPECT_LE(resumed.size(), 2U);  // the block itself may be replayed
      }
      for (const std::string& folder : {o.output_dir, o.work_dir}) files_->remove_tree(folder);
    }
    EXPECT_GT(kept, 8);
  }
}

TEST_F(KeptStreamsJob, OnAMeshThatCannotUseThemTheBlocksAreReplayed) {
  QuantizeOptions whole = keeping("whole"), o = keeping("out");
  whole.lag = o.lag = 1;
  run(whole);
  EXPECT_EQ(heard(o, 1, 32).size(), 1U);
  o.stages = 2;
  EXPECT_THAT(heard(o, 2), testing::ElementsAre(HasSubstr("replaying")));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(KeptStreamsJob, DamagedOnesAreNamedAndNotUsed) {
  QuantizeOptions whole = keeping("whole");
  run(whole);
  for (const char* file : {"0000.safetensors", "0001.safetensors", "frontier.json"}) {
    QuantizeOptions o = keeping("out");
    EXPECT_EQ(heard(o, 2, 32).size(), 1U);
    const std::string name = std::string("out.work/state-0001/streams/") + file;
    std::string content = folder_.read(name);
    content[content.size() - 3] = static_cast<char>(content[content.size() - 3] ^ 1);
    folder_.write(name, content);
    EXPECT_THAT(heard(o, 3),
                testing::ElementsAre(HasSubstr("cannot be used"), HasSubstr("replaying")))
        << file;
    EXPECT_TRUE(bytes("out") == bytes("whole")) << file;
    for (const std::string& folder : {o.output_dir, o.work_dir}) files_->remove_tree(folder);
  }
}

TEST_F(KeptStreamsJob, WhatCostsMoreThanReplayingIsNotKept) {
  QuantizeOptions o = keeping("out");
  o.resume_costs = {1, 5, 1};
  EXPECT_TRUE(heard(o, 1, 32).empty());
  EXPECT_THAT(heard(o, 1), testing::ElementsAre(HasSubstr("replaying")));
}

// The stop itself must not fail: everything that was trained is committed.
TEST_F(KeptStreamsJob, ADiskWithoutRoomForThemKeepsTheRun) {
  struct FullDisk final : ForwardingFiles {
    std::unique_ptr<OutputFile> create(const std::string& path) override {
      if (path.find("/streams/") != path.npos) throw FileError("no space left");
      return ForwardingFiles::create(path);
    }
  } full;
  QuantizeOptions whole = keeping("whole"), o = keeping("out");
  run(whole);
  control_.wishes.asked = [left = 0]() mutable { return left++ == 32 ? "SIGTERM" : ""; };
  EXPECT_THROW(run_on(full, o), AgreedStop);
  control_.wishes.asked = [] { return ""; };
  run(o);
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

}  // namespace
}  // namespace bitmill
