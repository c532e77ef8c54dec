#pragma once
// What ends this process when others do not come, or do not leave: before the watchdog, which needs
// all ranks to begin, and after it.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cli/process/launch.hpp"

namespace bitmill {

// Ends a rank whose peers do not come. MPI_Init and what follows wait for every rank, and without
// an end where one is missing or stands still.
class StartAlarm {
 public:
  // Rings a few seconds after `seconds`; never without MPI or with 0 seconds. Then: a sentence on
  // stderr, and the process ends at once with exit_code::stopped, as when a peer is lost.
  StartAlarm(const Launch& launch, int64_t seconds);
  // `ring` gets the sentence, on a thread of the alarm.
  StartAlarm(const Launch& launch, int64_t seconds, std::function<void(const std::string&)> ring);
  ~StartAlarm() { stop(); }
  StartAlarm(const StartAlarm&) = delete;
  StartAlarm& operator=(const StartAlarm&) = delete;

  // All ranks have met.
  void stop();

 private:
  void wait(const Launch& launch, int64_t seconds,
            const std::function<void(const std::string&)>& ring);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;  // guarded by mutex_
  std::thread thread_;
};

// The kernel ends this process with SIGKILL `seconds` from now, in whatever state it is: a process
// that is stopped (SIGSTOP) hears nothing else. For a time when nothing is left to be lost, and a
// rank that stands still would keep all others waiting. Error when the kernel gives no timer.
void end_process_in(int64_t seconds);

}  // namespace bitmill
