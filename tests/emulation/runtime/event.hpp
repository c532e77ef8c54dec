#pragma once
// One event: the last place in a stream, or in a graph, that was recorded.

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "emulation/runtime/capture.hpp"
#include "emulation/runtime/stream.hpp"

namespace bitmill::fake_cuda {

// A place in a stream. What holds one keeps the stream's thread until the stream has ended.
struct Mark {
  std::shared_ptr<Stream> stream;  // null: nothing was recorded
  uint64_t place = 0;
  // When the stream came there; valid once reached.
  std::shared_ptr<std::chrono::steady_clock::time_point> time;

  // Returns when the stream is there; its tasks up to there rest no longer.
  void wait() const;
  bool reached() const;
};

// Of the last task of `stream`.
Mark mark_now(const std::shared_ptr<Stream>& stream);
// Everything later on `stream` waits for `mark`.
void block(Stream& stream, const Mark& mark);

class Event {
 public:
  Event(int of_device, unsigned with_flags) : device(of_device), flags(with_flags) {}

  void record(Mark mark);
  void record(const CapturePoint& point);
  // What was recorded last; the other one is empty.
  Mark mark() const;
  CapturePoint captured() const;

  const int device;
  const unsigned flags;

 private:
  mutable std::mutex mutex_;
  Mark mark_;
  CapturePoint captured_;
};

}  // namespace bitmill::fake_cuda
