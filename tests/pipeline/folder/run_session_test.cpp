// What a run folder says of a run that an error ended.

#include "pipeline/folder/run_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "memory_files.hpp"
#include "pipeline/folder/run_status.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

constexpr ClaimTiming short_look{std::chrono::milliseconds(20), std::chrono::milliseconds(5)};

// A start that opens the run of two blocks in files, and does `work` before or after that.
enum class When { before_open, after_open };
void start(Files& files, When when, const std::function<void()>& work) {
  const nlohmann::json fingerprint = {
      {"model", {{"blocks", 2}}}, {"max_blocks", 0}, {"epochs", 4}, {"lag", 2}};
  RunControl control;
  control.heartbeat = false;
  WorkFolder folder;
  folder.path = "/run";
  RunSession session(folder, files, control, [](const std::string&) {});
  hold_session(&session, [&] {
    if (when == When::before_open) work();
    session.open({fingerprint.dump(), {"cpu"}}, make_plan(2, 4, 2, 1, Walk::sweep), {});
    if (when == When::after_open) work();
  });
}

// The failure that the run folder tells of after `work` threw.
std::string failure_after(const std::function<void()>& work) {
  MemoryFiles files;
  EXPECT_THROW(start(files, When::after_open, work), Error);
  return read_status(files, "/run", short_look).failure;
}

TEST(RunSessionEnd, AnErrorThatAnotherStartWouldMeetAgainIsKept) {
  EXPECT_THAT(failure_after([] { throw DeviceError("no memory on cuda:0"); }),
              HasSubstr("no memory on cuda:0"));
  EXPECT_THAT(failure_after([] { throw NumericError("not finite"); }), HasSubstr("not finite"));
}

TEST(RunSessionEnd, AGpuOrAPeerThatIsLostIsNoFailureOfTheRun) {
  EXPECT_EQ(failure_after([] { throw DeviceLostError("cuda:0 fell off the bus"); }), "");
  EXPECT_EQ(failure_after([] { throw CommError("rank 1 is gone"); }), "");
}

// The start may belong to another run than the one that is there.
TEST(RunSessionEnd, AnErrorBeforeTheRunWasOpenedLeavesItAsItWas) {
  MemoryFiles files;
  EXPECT_THROW(start(files, When::after_open, [] { throw AgreedStop("SIGTERM"); }), AgreedStop);
  EXPECT_THROW(start(files, When::before_open, [] { throw FileError("no text"); }), FileError);
  const RunStatus found = read_status(files, "/run", short_look);
  EXPECT_EQ(found.failure, "");
  EXPECT_EQ(found.phase, RunPhase::stopped);
  EXPECT_EQ(found.starts_in_vain(), 0);
  ASSERT_TRUE(found.holder);
  EXPECT_THAT(found.holder->outcome, HasSubstr("no text"));
}

}  // namespace
}  // namespace bitmill
