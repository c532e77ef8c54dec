// A run that was stopped, killed or failed, and what the next start makes of what it left.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "base/error.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/run_state.hpp"
#include "format/packed_folder.hpp"
#include "forwarding_files.hpp"
#include "pipeline/folder/run_status.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ResumedJob : public TinyJob {
 protected:
  // Block 1 of the model with other weights under the same names and shapes.
  void change_block_1(const std::string& model) {
    auto tensors = test::tiny_tensors(config_);
    for (TensorSource& tensor : tensors) {
      if (tensor.name != "model.layers.1.mlp.up_proj.weight") continue;
      tensor = test::random_tensor(tensor.name, tensor.shape, 77);
    }
    test::write_model(*files_, model, config_, tensors);
  }
};

// A process that dies when the result is there and the work folder does not say so.
class KilledBeforeDone final : public ForwardingFiles {
 public:
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    dead_ = dead_ || path.find("/DONE") != path.npos;
    if (dead_) throw FileError("killed");
    return ForwardingFiles::create(path);
  }
  void remove(const std::string& path) override {
    if (!dead_) ForwardingFiles::remove(path);
  }

 private:
  bool dead_ = false;
};

// A disk without room for the trial of a save.
class FailingRehearsal final : public ForwardingFiles {
 public:
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    auto file = ForwardingFiles::create(path);
    if (path.find("rehearsal") != path.npos) throw FileError("no space left");
    return file;
  }
};

TEST_F(ResumedJob, StoppedAnywhereAndResumedOnOtherRanksItGivesTheSameBytes) {
  for (const int lag : {2, 1}) {
    QuantizeOptions whole = options("whole" + std::to_string(lag));
    whole.batch = 3;
    whole.lag = lag;
    run(whole);
    for (int leave_at = 1; leave_at < 24; leave_at += 2) {
      QuantizeOptions o = options(std::to_string(lag) + "at" + std::to_string(leave_at));
      o.batch = 3;
      o.lag = lag;
      control_.wishes.asked = [leave_at, left = 0]() mutable {
        return left++ == leave_at ? "SIGTERM" : "";
      };
      EXPECT_THROW(run(o), AgreedStop);
      control_.wishes.asked = [] { return ""; };
      run(o, 1 + leave_at % 3);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(whole.output_dir)))
          << "lag " << lag << ", left at " << leave_at;
    }
  }
}

TEST_F(ResumedJob, AResultWhoseStartDiedBeforeItSaidSoIsMarkedDone) {
  QuantizeOptions o = options("out");
  KilledBeforeDone killed;
  control_.heartbeat = false;
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  EXPECT_THROW(run_on(killed, o), Error);
  EXPECT_EQ(read_status(*files_, o.work_dir, control_.claim_timing).phase, RunPhase::stopped);
  EXPECT_TRUE(run(o).already_done);
  EXPECT_EQ(read_status(*files_, o.work_dir, control_.claim_timing).phase, RunPhase::done);
}

TEST_F(ResumedJob, AnotherRunInTheWorkFolderOfAFinishedResultIsLeftAlone) {
  QuantizeOptions o = options("out"), other = options("other");
  run(o);
  other.work_dir = o.work_dir;
  stop_early(other, 29);  // with the very same settings: block 0 is packed
  EXPECT_TRUE(run(o).already_done);
  EXPECT_EQ(read_status(*files_, o.work_dir, {}).phase, RunPhase::stopped);
  EXPECT_EQ(read_status(*files_, o.work_dir, {}).blocks_done, 1);
  folder_.write("out.work/notes.txt", "not ours");
  EXPECT_TRUE(run(o).already_done);
}

TEST_F(ResumedJob, AStartThatIsRefusedOrFailsGivesTheFolderBackAtOnce) {
  QuantizeOptions o = options("out");
  stop_early(o, 29);
  const auto outcome = [&](const std::string& generation) {
    const auto holder = read_holder(*files_, o.work_dir + "/state-" + generation);
    return holder && holder->released ? holder->outcome : "not given back";
  };
  const int vain = read_status(*files_, o.work_dir, {}).starts_in_vain();
  auto tensors = test::tiny_tensors(config_);
  tensors.front() = test::random_tensor(tensors.front().name, tensors.front().shape, 77);
  test::write_model(*files_, o.model, config_, tensors);
  EXPECT_THAT(message(o), HasSubstr("begun with other weights"));
  EXPECT_THAT(outcome("0002"), HasSubstr("begun with other weights"));
  const RunStatus refused = read_status(*files_, o.work_dir, {});
  EXPECT_EQ(refused.phase, RunPhase::stopped);
  EXPECT_EQ(refused.blocks_done, 1);
  EXPECT_EQ(refused.starts_in_vain(), vain);

  test::write_model(*files_, o.model, config_, test::tiny_tensors(config_));
  const std::string name = "out.work/state-0002/blocks/0000.0.safetensors";
  const std::string whole = folder_.read(name);
  folder_.write(name, whole.substr(0, whole.size() - 1));
  EXPECT_THAT(message(o), HasSubstr("0000.0.safetensors"));
  EXPECT_THAT(outcome("0003"), HasSubstr("failed: "));
  EXPECT_EQ(read_status(*files_, o.work_dir, {}).phase, RunPhase::failed);

  folder_.write("out.work/state-0003/blocks/0000.0.safetensors", whole);
  run(o);
}

TEST_F(ResumedJob, RefusedWeightsLeaveTheRunAsItWas) {
  QuantizeOptions o = options("out");
  stop_early(o, 1);  // before anything is committed but what the run is
  auto tensors = test::tiny_tensors(config_);
  tensors.front() = test::random_tensor(tensors.front().name, tensors.front().shape, 77);
  test::write_model(*files_, o.model, config_, tensors);
  for (const int again : {0, 1}) {
    EXPECT_THAT(message(o), HasSubstr("begun with other weights")) << again;
    EXPECT_EQ(read_status(*files_, o.work_dir, {}).phase, RunPhase::stopped) << again;
  }
}

TEST_F(ResumedJob, RefusedWeightsSetNothingAsideAndAreNotKept) {
  QuantizeOptions whole = options("whole"), o = options("out");
  run(whole);
  stop_early(o, 29);  // block 0 is packed
  const auto state = [&] { return RunState(*files_, find_state(*files_, o.work_dir)->path); };
  files_->remove_tree(o.work_dir + "/state-0001/sources/0001.json");
  auto other = test::tiny_tensors(config_);
  other.front() = test::random_tensor(other.front().name, other.front().shape, 77);
  test::write_model(*files_, o.model, config_, other);
  o.verify_source = true;
  o.redo_blocks = {0};
  EXPECT_THAT(message(o), HasSubstr("begun with other weights"));
  EXPECT_FALSE(state().has_set_aside(0, 0));
  EXPECT_FALSE(state().has_source(1));
  test::write_model(*files_, o.model, config_, test::tiny_tensors(config_));
  o.redo_blocks = {};
  run(o);
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(ResumedJob, WhatIsSetAsideSurvivesAStartThatFailsEarly) {
  QuantizeOptions whole = options("whole"), o = options("out");
  run(whole);
  stop_early(o, 29);
  files_->remove_tree(o.work_dir + "/state-0001/live");
  o.redo_blocks = {0};
  FailingRehearsal full;
  EXPECT_THROW(run_on(full, o), Error);
  o.redo_blocks = {};
  o.resume = Resume::required;
  run(o);
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(ResumedJob, ASettingThatIsNotKnownIsNoOtherOne) {
  QuantizeOptions o = options("out");
  stop_early(o);
  o.calib = folder_ / "missing.txt";
  o.scratch_dir = folder_ / "model/config.json";
  const std::string said = message(o);
  EXPECT_THAT(said, HasSubstr("missing.txt"));
  EXPECT_THAT(said, testing::Not(HasSubstr("another configuration")));
}

TEST_F(ResumedJob, ABlockBuiltAgainThatComesOutDifferentStopsTheRunWithBothHashes) {
  QuantizeOptions o = options("out"), other = options("other");
  other.method.lr_scale = 2e-2;
  stop_early(o, 29);
  stop_early(other, 29);
  const std::string block = ".work/state-0001/blocks/0000.0.safetensors";
  folder_.write("out" + block, folder_.read("other" + block));  // whole, but of another run
  o.redo_blocks = {0};
  EXPECT_THAT(message(o), testing::MatchesRegex("(.|\n)*block 0, turn 0, was built again with "
                                                "another content: [0-9a-f]{32} was recorded and "
                                                "[0-9a-f]{32} came out(.|\n)*"));
  EXPECT_EQ(read_status(*files_, o.work_dir, {}).phase, RunPhase::failed);
}

TEST_F(ResumedJob, OtherSettingsAreNotResumedAndTheFieldIsNamed) {
  QuantizeOptions o = options("out");
  stop_early(o);
  o.epochs = 4;
  EXPECT_THAT(message(o), testing::AllOf(HasSubstr("epochs is 2 there and 4 here"),
                                         HasSubstr("--resume never")));
  o.resume = Resume::never;
  run(o);
  verify_packed_folder(*files_, o.output_dir, {});
}

TEST_F(ResumedJob, ResumeRequiredNeedsARun) {
  QuantizeOptions o = options("out");
  o.resume = Resume::required;
  EXPECT_THAT(message(o), HasSubstr("no unfinished run"));
  o.resume = Resume::automatic;
  stop_early(o);
  o.resume = Resume::required;
  run(o);
}

TEST_F(ResumedJob, DamagedBlockIsNamedAndRepairedOnRequest) {
  QuantizeOptions whole = options("whole"), o = options("out");
  run(whole);
  stop_early(o, 29);
  const std::string name = "out.work/state-0001/blocks/0000.0.safetensors";
  std::string content = folder_.read(name);
  content.back() = static_cast<char>(content.back() ^ 1);
  folder_.write(name, content);
  EXPECT_THAT(message(o), HasSubstr("build these blocks again with --redo-blocks 0"));
  o.redo_blocks = {0};
  run(o);
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

TEST_F(ResumedJob, OtherWeightsThanTheRunBeganWithAreNamed) {
  QuantizeOptions o = options("out");
  stop_early(o, 29);  // both blocks were read
  change_block_1(o.model);
  EXPECT_THAT(message(o), AllOf(HasSubstr("model.layers.1.mlp.up_proj.weight"),
                                HasSubstr("begun with other weights")));
  test::write_model(*files_, o.model, config_, test::tiny_tensors(config_));
  run(o);
}

TEST_F(ResumedJob, RanksThatReadDifferentCopiesOfTheModelAreNamed) {
  change_block_1(folder_ / "copy");
  run_ranks(2, [&](Communicator& comm) {
    QuantizeOptions o = options("out");
    o.batch = 2;  // two replicas: both read every block
    o.stages = 1;
    if (comm.rank() == 1) o.model = folder_ / "copy";
    ThreadPool pool(1, [] { at::set_num_threads(1); });
    QuantizeObserver silent;
    EXPECT_THROW(
        {
          try {
            check_and_quantize(o, *files_, comm, pool, silent, control_);
          } catch (const UsageError& error) {
            EXPECT_THAT(error.what(), HasSubstr("different weights of block 1"));
            throw;
          }
        },
        UsageError);
  });
}

// The second stage, whose replicas are ranks 2 and 3 of the job, has block 1.
TEST_F(ResumedJob, ReplicasThatReadDifferentCopiesAreNamedByTheirRanksInTheJob) {
  change_block_1(folder_ / "copy");
  try {
    run_ranks(4, [&](Communicator& comm) {
      QuantizeOptions o = options("out");
      o.batch = 2;
      o.lag = 1;
      o.stages = 2;
      if (comm.rank() == 3) o.model = folder_ / "copy";
      ThreadPool pool(1, [] { at::set_num_threads(1); });
      QuantizeObserver silent;
      check_and_quantize(o, *files_, comm, pool, silent, control_);
    });
    FAIL() << "the copies differ";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("rank 3 and rank 2 read different weights of block 1"));
  }
}

TEST_F(ResumedJob, VerifySourceFindsDamageInTheLastBlockBeforeAnythingIsBegun) {
  auto tensors = test::tiny_tensors(config_);
  for (TensorSource& tensor : tensors) {
    if (tensor.name != "model.layers.1.mlp.up_proj.weight") continue;
    tensor.produce = [bytes = tensor.bytes()](const ByteSink& sink) {
      const std::vector<float> values(bytes / 4, std::numeric_limits<float>::infinity());
      sink(std::as_bytes(std::span(values)));
    };
  }
  test::write_model(*files_, folder_ / "model", config_, tensors);
  QuantizeOptions o = options("out");
  o.verify_source = true;
  EXPECT_THAT(message(o), HasSubstr("model.layers.1.mlp.up_proj.weight"));
  EXPECT_FALSE(files_->exists(o.work_dir));
}

TEST_F(ResumedJob, VerifiedSourceGivesTheSameBytes) {
  QuantizeOptions lazy = options("lazy"), first = options("first");
  first.verify_source = true;
  run(lazy);
  run(first, 2);
  EXPECT_TRUE(bytes("lazy") == bytes("first"));
  EXPECT_EQ(folder_.read("lazy/config.json"), folder_.read("first/config.json"));
}

TEST_F(ResumedJob, RunOfAnotherKindOfMachineIsRefusedUnlessItIsAllowedAndThenItSays) {
  QuantizeOptions o = options("out");
  stop_early(o);
  const std::string path = o.work_dir + "/state-0001/run.json";
  nlohmann::json record = read_hashed_json(*files_, path);
  record["numerics_classes"] = {"a processor of another kind"};
  write_hashed_json(*files_, path, path + ".new", record);
  EXPECT_THAT(message(o),
              AllOf(HasSubstr("a processor of another kind"), HasSubstr("--allow-mixed-hardware")));
  o.allow_mixed_hardware = true;
  run(o);
  EXPECT_THAT(folder_.read("out/config.json"), HasSubstr("a processor of another kind; cpu"));
}

TEST_F(ResumedJob, WorkFolderMayBeMovedAndCopied) {
  QuantizeOptions whole = options("whole"), o = options("out");
  run(whole);
  stop_early(o, 29);
  files_->rename(o.work_dir, folder_ / "elsewhere");
  o.work_dir = folder_ / "elsewhere";
  run(o);
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

}  // namespace
}  // namespace bitmill
