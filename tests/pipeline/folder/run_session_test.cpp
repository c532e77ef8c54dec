// What a run folder says of a run that an error ended.

#include "pipeline/folder/run_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "memory_files.hpp"
#include "pipeline/folder/run_status.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

// The failure that the run folder tells of after `work` threw.
std::string failure_after(const std::function<void()>& work) {
  const nlohmann::json fingerprint = {
      {"model", {{"blocks", 2}}}, {"max_blocks", 0}, {"epochs", 4}, {"lag", 2}};
  MemoryFiles files;
  RunControl control;
  control.heartbeat = false;
  WorkFolder folder;
  folder.path = "/run";
  RunSession session(folder, files, control, [](const std::string&) {});
  session.dir().begin({fingerprint.dump(), {"cpu"}});
  EXPECT_THROW(hold_session(&session, work), Error);
  const ClaimTiming short_look{std::chrono::milliseconds(20), std::chrono::milliseconds(5)};
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

}  // namespace
}  // namespace bitmill
