// Ranks of a real mpirun job that are killed or stopped: the job ends soon, says who it was, and
// leaves no process behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Seconds = std::chrono::duration<double>;

constexpr int timeout_s = 3;
constexpr double seconds_to_end = timeout_s + 10;

double now() { return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Process {
  pid_t pid;
  std::string environment;
};

// Processes whose command line holds `word`.
std::vector<Process> processes_with(const std::string& word) {
  std::vector<Process> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string folder = entry.path().string();
    if (content(folder + "/cmdline").find(word) == std::string::npos) continue;
    found.push_back({static_cast<pid_t>(std::stol(name)), content(folder + "/environ")});
  }
  return found;
}

// A long job of three ranks under mpirun, in a session of its own.
class Job {
 public:
  explicit Job(const std::string& options = "") {
    // The environment of mpirun_test.cpp, for the same reasons.
    const std::string command =
        "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
        "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none "
        "OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none "
        "exec " BITMILL_MPIRUN " -n 3 " BITMILL_PROGRAM " quantize --model " BITMILL_SOURCE_DIR
        "/tests/data/books-2M --calib " BITMILL_SOURCE_DIR
        "/tests/data/books/calib.txt --samples 16 --seq-len 64 --epochs 5000 --batch 8 --timeout " +
        std::to_string(timeout_s) + " --output-dir " + result() + options + " >" + folder_ / "out" +
        " 2>" + folder_ / "err";
    mpirun_ = ::fork();
    if (mpirun_ != 0) return;
    ::setsid();
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ~Job() {
    for (const Process& one : processes_with(result())) ::kill(one.pid, SIGKILL);
    if (mpirun_ > 0) ::waitpid(mpirun_, nullptr, 0);
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  // Sends `signal` to a rank once training has begun.
  void hit(int rank, int signal) {
    wait_for("saving and reading back a trial");
    std::this_thread::sleep_for(Seconds(2));
    const std::string mark = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) + '\0';
    for (const Process& one : processes_with(result())) {
      if (one.environment.find(mark) == std::string::npos) continue;
      hit_at_ = now();
      ASSERT_EQ(::kill(one.pid, signal), 0);
      return;
    }
    FAIL() << "there is no rank " << rank << ": " << err();
  }

  // The status of mpirun, 128 more than the signal for one; -1 when it does not end in time.
  int status() {
    int raw = 0;
    while (::waitpid(mpirun_, &raw, WNOHANG) == 0) {
      if (now() - hit_at_ > seconds_to_end) return -1;
      std::this_thread::sleep_for(Seconds(0.02));
    }
    mpirun_ = -1;
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  }

  // Command lines that are still there, after mpirun's own time to clear up.
  std::vector<pid_t> left_behind() const {
    std::vector<pid_t> pids;
    for (const double end = now() + 5; now() < end; std::this_thread::sleep_for(Seconds(0.05))) {
      pids.clear();
      for (const Process& one : processes_with(result())) pids.push_back(one.pid);
      if (pids.empty()) break;
    }
    return pids;
  }

  std::string err() const { return content(folder_ / "err"); }
  std::string result() const { return folder_ / "result"; }

 private:
  void wait_for(const std::string& words) const {
    for (const double end = now() + 60; now() < end; std::this_thread::sleep_for(Seconds(0.02))) {
      if (err().find(words) != std::string::npos) return;
    }
    FAIL() << "the job does not begin: " << err();
  }

  TempFolder folder_;
  pid_t mpirun_ = -1;
  double hit_at_ = now() + 120;
};

int occurrences(const std::string& text, const std::string& word) {
  int count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

class LostPeer : public ::testing::TestWithParam<int> {
 protected:
  std::string rank() const { return "rank " + std::to_string(GetParam()); }
};

// mpirun sees the death of a rank as soon as the watchdogs do, and ends the job with 137; it gives
// the others a second, in which one of them speaks.
TEST_P(LostPeer, AKilledRankEndsTheJobSoon) {
  Job job;
  job.hit(GetParam(), SIGKILL);
  const int status = job.status();
  EXPECT_TRUE(status == 137 || status == 75) << status << ": " << job.err();
  EXPECT_THAT(job.left_behind(), IsEmpty());
  EXPECT_THAT(job.err(), HasSubstr(rank()));  // in mpirun's words, or in ours
  EXPECT_FALSE(std::filesystem::exists(job.result()));
}

TEST_P(LostPeer, AStoppedRankEndsTheJobAfterTheTimeoutAndIsNamedWithItsBlock) {
  Job job;
  job.hit(GetParam(), SIGSTOP);
  EXPECT_EQ(job.status(), 75) << job.err();
  EXPECT_THAT(job.left_behind(), IsEmpty());
  EXPECT_THAT(job.err(), HasSubstr("error: " + rank() + " on "));
  EXPECT_THAT(job.err(), HasSubstr("has not been heard of for"));
  EXPECT_THAT(job.err(), HasSubstr("it was last in block 0, "));
  EXPECT_EQ(occurrences(job.err(), "bitmill: error:"), 1) << job.err();
}

INSTANTIATE_TEST_SUITE_P(Mpirun, LostPeer, ::testing::Values(0, 2));

TEST(WatchedRanks, AFailureOfARankKeepsItsExitCodeAndIsNobodysLoss) {
  Job job(" --lr-scale 1e30 --lr-gain 1e30");
  EXPECT_EQ(job.status(), 1) << job.err();
  EXPECT_EQ(occurrences(job.err(), "bitmill: error:"), 1) << job.err();
  EXPECT_THAT(job.err(), Not(HasSubstr("gone without a word")));
  EXPECT_THAT(job.left_behind(), IsEmpty());
}

}  // namespace
}  // namespace bitmill
