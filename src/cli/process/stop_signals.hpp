#pragma once
// SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 as a wish to stop, which the work looks at between steps.
//
// The first one is only noted. One that comes a second or more after it ends this process at once,
// with 75: nothing that was committed is harmed by that. Within the second the same wish is still
// arriving: launchers pass a signal to the process and to its group, and follow SIGINT by SIGTERM.

#include <string>
#include <thread>

namespace bitmill {

class StopSignals {
 public:
  StopSignals() = default;  // deaf: signals keep their default action
  ~StopSignals();           // puts back the actions that listen() found
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // From here on signals are noted, and the first one is announced on stderr. `who` begins the
  // line: "rank 2 on n1", or nothing. One object of a process listens at a time. Error when the
  // system refuses.
  void listen(const std::string& who);

  bool wanted() const;
  std::string reason() const;  // "SIGTERM"; empty until one came

 private:
  bool listening_ = false;
  std::thread announcer_;
};

}  // namespace bitmill
