#pragma once
// SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 as a wish to stop, which the job checks between
// steps; and the signals by which the system would end a process where an error is enough.
//
// The first signal is only noted. A signal that comes a second or more later ends this process at
// once, with exit code 75; this does not damage what was committed. Signals within the second count
// as the same wish: launchers send a signal to the process and to its group, and SIGTERM after
// SIGINT. SIGHUP stays ignored where it was ignored before (nohup).
//
// A job that listens is not ended by SIGPIPE: it must save its state even when nobody reads any
// more what it says.

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
  // `who`: "rank 2 on n1", or nothing. `what_follows` is what happens then. Only one object of a
  // process may listen at a time. Error when the system refuses.
  void listen(const std::string& who, const std::string& what_follows);

  bool wanted() const;
  std::string reason() const;  // "SIGTERM"; empty until one came

 private:
  bool listening_ = false;
  std::thread announcer_;
};

// For the whole life of the process: a file that grows beyond the limit of the shell (ulimit -f)
// gives an error of the write, as a full disk does, instead of SIGXFSZ, which ends the process.
void take_file_limits_as_errors();

}  // namespace bitmill
