#pragma once
// SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 as a wish to stop, which the job checks between steps.
//
// The first signal is only noted. A signal that comes a second or more later ends this process at
// once, with exit code 75; this does not damage what was committed. Signals within the second count
// as the same wish: launchers send a signal to the process and to its group, and SIGTERM after
// SIGINT.

#include <string>
#include <thread>

namespace bitmill {

class StopSignals {
 public:
  StopSignals() = default;  // does nothing: signals keep their default action
  ~StopSignals();           // puts back the actions that listen() found
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // From now on signals are noted, and the first one is announced on stderr. The line begins with
  // `who`: "rank 2 on n1", or nothing. Only one object of a process may listen at a time. Error
  // when the system refuses.
  void listen(const std::string& who);

  bool wanted() const;
  std::string reason() const;  // "SIGTERM"; empty until one came

 private:
  bool listening_ = false;
  std::thread announcer_;
};

}  // namespace bitmill
