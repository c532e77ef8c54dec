#pragma once
// Ends this process when other ranks do not start or do not end. The watchdog cannot do that: it
// begins when all ranks have met and stops before they leave.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cli/process/launch.hpp"

namespace bitmill {

// Ends a rank whose peers do not start. MPI_Init and the first calls after it wait for every rank,
// without a time limit.
class StartAlarm {
 public:
  // Rings a few seconds after `seconds`; never without MPI or with 0 seconds. When it rings, it
  // writes a sentence to stderr and ends the process at once with exit_code::stopped, as when a
  // peer is lost.
  StartAlarm(const Launch& launch, int64_t seconds);
  // The same, but calls `ring` with the sentence, on a thread of the alarm.
  StartAlarm(const Launch& launch, int64_t seconds, std::function<void(const std::string&)> ring);
  ~StartAlarm() { stop(); }
  StartAlarm(const StartAlarm&) = delete;
  StartAlarm& operator=(const StartAlarm&) = delete;

  // To be called when all ranks have met: the alarm will not ring any more.
  void stop();

 private:
  void wait(const Launch& launch, int64_t seconds,
            const std::function<void(const std::string&)>& ring);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_
  std::thread thread_;
};

// Asks the kernel to end this process with SIGKILL `seconds` from now. This works in every state: a
// process that is stopped (SIGSTOP) reacts to nothing else. For the end of a job, when no result
// can be lost, and a rank that hangs would make all others wait. Error when the kernel gives no
// timer.
void end_process_in(int64_t seconds);

}  // namespace bitmill
