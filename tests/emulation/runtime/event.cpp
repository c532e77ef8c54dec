#include "emulation/runtime/event.hpp"

#include <utility>

namespace bitmill::fake_cuda {

void Mark::wait() const {
  if (stream != nullptr) stream->wait(place);
}

bool Mark::reached() const { return stream == nullptr || stream->done() >= place; }

Mark mark_now(const std::shared_ptr<Stream>& stream) {
  Mark mark{stream, 0, std::make_shared<std::chrono::steady_clock::time_point>()};
  mark.place =
      stream->push_always([time = mark.time] { *time = std::chrono::steady_clock::now(); });
  return mark;
}

void block(Stream& stream, const Mark& mark) {
  if (mark.stream == nullptr || mark.stream.get() == &stream || mark.reached()) return;
  stream.push_always([mark] { mark.wait(); });
}

void Event::record(Mark mark) {
  const std::lock_guard lock(mutex_);
  mark_ = std::move(mark);
  captured_ = {};
}

void Event::record(const CapturePoint& point) {
  const std::lock_guard lock(mutex_);
  mark_ = {};
  captured_ = point;
}

Mark Event::mark() const {
  const std::lock_guard lock(mutex_);
  return mark_;
}

CapturePoint Event::captured() const {
  const std::lock_guard lock(mutex_);
  return captured_;
}

}  // namespace bitmill::fake_cuda
