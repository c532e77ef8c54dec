// The files of a run folder, one bit of each flipped: whatever it is, nobody goes on from it.

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "checkpoint/audit.hpp"
#include "checkpoint/run_dir.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

const std::string state_path = "/run/state-0001";

TensorSource tensor_of(const std::string& name) {
  return {name, Dtype::float16, {2}, [](const ByteSink& sink) { sink(std::vector<std::byte>(4)); }};
}

class DamagedRun : public testing::Test {
 protected:
  DamagedRun() {
    const auto claim =
        Claim::take(files_, "/run", {"host", 7, "88", "m", "1", "token"}, {}, [](const auto&) {});
    RunDir dir(files_, *claim);
    dir.begin({R"({"lag":5})", {"cpu"}});
    dir.write_live({0, 4, 17}, {tensor_of("learned"), tensor_of("first_moment")});
    dir.write_packed(0, 0, false, {tensor_of("a"), tensor_of("b")});
  }

  // Every bit of the file, once: `read` must not get through. It must before and afterwards.
  template <class Read>
  void expect_refused(const std::string& name, Read read) {
    const std::string path = state_path + "/" + name, whole = files_.get(path);
    EXPECT_TRUE(passes(read)) << name;
    for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      files_.put(path, flipped);
      EXPECT_FALSE(passes(read)) << name << ", byte " << bit / 8 << ", bit " << bit % 8;
    }
    for (size_t length = 0; length + 1 < whole.size(); ++length) {  // the last may be a newline
      files_.put(path, whole.substr(0, length));
      EXPECT_FALSE(passes(read)) << name << " cut to " << length;
    }
    files_.put(path, whole);
    EXPECT_TRUE(passes(read)) << name;
  }

  template <class Read>
  static bool passes(Read read) {
    try {
      return read();
    } catch (const Error&) {
      return false;
    }
  }

  MemoryFiles files_;
  const RunState state_{files_, state_path};
};

TEST_F(DamagedRun, OneFlippedBitInAPackedBlockIsRefused) {
  expect_refused("blocks/0000.0.safetensors", [&] { return state_.open_packed(0, 0), true; });
}

TEST_F(DamagedRun, OneFlippedBitInTheLiveStateIsRefused) {
  expect_refused("live/0000.safetensors", [&] { return state_.open_live(0), true; });
}

TEST_F(DamagedRun, OneFlippedBitInTheRecordIsRefused) {
  expect_refused("run.json", [&] { return state_.record(), true; });
}

TEST_F(DamagedRun, OneFlippedBitInTheHoldersNameIsNoHolder) {
  expect_refused("holder.json", [&] { return read_holder(files_, state_path).has_value(); });
}

TEST_F(DamagedRun, FilesOfAnotherBlockOrTurnAreRefused) {
  files_.put(state_path + "/blocks/0001.0.safetensors",
             files_.get(state_path + "/blocks/0000.0.safetensors"));
  files_.put(state_path + "/blocks/0000.1.safetensors",
             files_.get(state_path + "/blocks/0000.0.safetensors"));
  EXPECT_THROW(state_.open_packed(1, 0), FormatError);
  EXPECT_THROW(state_.open_packed(0, 1), FormatError);
}

TEST_F(DamagedRun, ANameWithANegativeNumberIsNoBlock) {
  files_.put(state_path + "/blocks/-5.1.safetensors", "");
  ThreadPool pool(1);
  const RunAudit audit = audit_run(files_, "/run", pool);
  ASSERT_EQ(audit.faults.size(), 1);
  EXPECT_NE(audit.faults[0].what.find("not a name that a run gives"), std::string::npos);
}

TEST_F(DamagedRun, AGenerationWithoutASuccessorIsNoState) {
  files_.put("/run/state-2147483647/beat", "1");
  EXPECT_EQ(find_state(files_, "/run")->generation, 1);
}

TEST_F(DamagedRun, EventsOfOtherTypesArePassedOver) {
  const auto claim = Claim::take(files_, "/run", {}, {std::chrono::milliseconds(0)}, [](auto&) {});
  files_.put("/run/blocks.jsonl",
             "{\"event\": 5, \"block\": 1}\n{\"event\": \"packed\", \"block\": \"2\"}\n"
             "{\"event\": \"packed\", \"block\": 3}\n[]\n{\"event\": \"pac");
  EXPECT_EQ(RunDir(files_, *claim).events().packed_blocks(), std::set<int>({3}));
}

}  // namespace
}  // namespace bitmill
