#include "checkpoint/heartbeat.hpp"

#include "base/quiet_transfers.hpp"

namespace bitmill {

Heartbeat::Heartbeat(Claim& claim, std::chrono::milliseconds interval)
    : thread_([this, &claim, interval] {
        const QuietTransfers quiet;  // a heartbeat is no progress: a run that hangs has one, too
        std::unique_lock lock(mutex_);
        do {
          lock.unlock();
          claim.beat();
          lock.lock();
        } while (!stopped_.wait_for(lock, interval, [&] { return stopping_; }));
      }) {}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

}  // namespace bitmill
