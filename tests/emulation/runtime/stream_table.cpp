#include "emulation/runtime/stream_table.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/event.hpp"
#include "emulation/runtime/handles.hpp"
#include "emulation/runtime/process.hpp"

namespace bitmill::fake_cuda {
namespace {

struct Entry {
  std::shared_ptr<Stream> stream;
  CapturePoint capture;
  bool origin = false;  // of its capture
};

struct Table {
  std::mutex mutex;
  std::map<int, std::shared_ptr<Stream>> defaults;  // by device
  std::map<cudaStream_t, Entry> entries;
  std::vector<std::shared_ptr<Stream>> destroyed;  // until they have ended
  uint64_t numbers = 0;
  uint64_t captures = 0;
  std::atomic<int> capturing{0};  // captures that are under way
};
Table& table() {
  static auto* once = new Table;
  return *once;
}

bool is_default(cudaStream_t handle) { return handle == nullptr || handle == cudaStreamLegacy; }

// REQUIRES: the table's lock.
std::shared_ptr<Stream> default_stream(Table& all, int device) {
  std::shared_ptr<Stream>& stream = all.defaults[device];
  if (stream == nullptr) stream = std::make_shared<Stream>(device, true, 0, ++all.numbers);
  return stream;
}

// Streams other than `stream` that it is ordered with.
std::vector<std::shared_ptr<Stream>> ordered_with(const std::shared_ptr<Stream>& stream) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const std::shared_ptr<Stream> own_default = default_stream(all, stream->device);
  if (stream != own_default) return {own_default};
  std::vector<std::shared_ptr<Stream>> others;
  for (const auto& [handle, entry] : all.entries) {
    if (entry.stream->blocking && entry.stream->device == stream->device) {
      others.push_back(entry.stream);
    }
  }
  for (const std::shared_ptr<Stream>& ending : all.destroyed) {
    if (ending->blocking && ending->device == stream->device) others.push_back(ending);
  }
  return others;
}

// REQUIRES: the table's lock.
void drop_ended(Table& all) {
  std::erase_if(all.destroyed, [](const auto& stream) { return stream->ended(); });
}

}  // namespace

cudaStream_t make_stream(int device, bool blocking, int priority) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  drop_ended(all);
  const auto handle = new_handle<cudaStream_t>();
  all.entries[handle] = {
      std::make_shared<Stream>(device, blocking, priority, ++all.numbers), {}, false};
  return handle;
}

cudaError_t destroy_stream(cudaStream_t handle) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  drop_ended(all);
  const auto found = all.entries.find(handle);
  if (found == all.entries.end()) return cudaErrorInvalidResourceHandle;
  found->second.stream->close();
  all.destroyed.push_back(std::move(found->second.stream));
  all.entries.erase(found);
  return cudaSuccess;
}

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  if (is_default(handle)) return default_stream(all, current_device());
  if (handle == cudaStreamPerThread) {
    not_emulated("cudaStreamPerThread");
    return nullptr;
  }
  const auto found = all.entries.find(handle);
  return found == all.entries.end() ? nullptr : found->second.stream;
}

cudaError_t enqueue(cudaStream_t handle, Task task) {
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (CapturePoint* point = capture_of(handle); point != nullptr) {
    if (point->capture->invalid) return cudaErrorStreamCaptureInvalidated;
    add_node(*point, std::move(task));
    return cudaSuccess;
  }
  if (is_default(handle) && table().capturing > 0) return cudaErrorStreamCaptureImplicit;
  order_with_default(stream);
  stream->push(std::move(task));
  return cudaSuccess;
}

cudaError_t refuse_while_captured(cudaStream_t handle) {
  CapturePoint* point = capture_of(handle);
  if (point == nullptr) return cudaSuccess;
  const std::lock_guard lock(point->capture->mutex);
  point->capture->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t refuse_while_capturing() {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  if (all.capturing == 0) return cudaSuccess;
  for (auto& [handle, entry] : all.entries) {
    if (entry.capture.capture != nullptr) entry.capture.capture->invalid = true;
  }
  return cudaErrorStreamCaptureUnsupported;
}

void order_with_default(const std::shared_ptr<Stream>& stream) {
  if (!stream->blocking) return;
  for (const std::shared_ptr<Stream>& other : ordered_with(stream)) {
    if (!other->idle()) block(*stream, {other, other->last(), nullptr});
  }
}

void wait_for_device(int device) {
  std::vector<std::shared_ptr<Stream>> mine;
  {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    mine.push_back(default_stream(all, device));
    for (const auto& [handle, entry] : all.entries) {
      if (entry.stream->device == device) mine.push_back(entry.stream);
    }
    for (const std::shared_ptr<Stream>& ending : all.destroyed) {
      if (ending->device == device) mine.push_back(ending);
    }
  }
  for (const std::shared_ptr<Stream>& stream : mine) stream->want(stream->last());
  for (const std::shared_ptr<Stream>& stream : mine) stream->wait(stream->last());
}

CapturePoint* capture_of(cudaStream_t handle) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const auto found = all.entries.find(handle);
  if (found == all.entries.end() || found->second.capture.capture == nullptr) return nullptr;
  return &found->second.capture;  // entries of a map stay where they are
}

cudaError_t begin_capture(cudaStream_t handle) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  if (is_default(handle)) return cudaErrorStreamCaptureUnsupported;
  const auto found = all.entries.find(handle);
  if (found == all.entries.end()) return cudaErrorInvalidResourceHandle;
  if (found->second.capture.capture != nullptr) return cudaErrorIllegalState;
  found->second.capture = {std::make_shared<Capture>(++all.captures), {}};
  found->second.origin = true;
  ++all.capturing;
  return cudaSuccess;
}

cudaError_t end_capture(cudaStream_t handle, Graph* graph) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const auto found = all.entries.find(handle);
  if (found == all.entries.end() || found->second.capture.capture == nullptr) {
    return cudaErrorIllegalState;
  }
  if (!found->second.origin) return cudaErrorStreamCaptureUnmatched;
  const CapturePoint end = found->second.capture;
  for (auto& [other, entry] : all.entries) {
    if (entry.capture.capture == end.capture) entry.capture = {}, entry.origin = false;
  }
  --all.capturing;
  if (end.capture->invalid) return cudaErrorStreamCaptureInvalidated;
  if (!all_before(end)) return cudaErrorStreamCaptureUnjoined;
  *graph = std::move(end.capture->graph);
  return cudaSuccess;
}

void join_capture(cudaStream_t handle, const CapturePoint& point) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  CapturePoint& own = all.entries.at(handle).capture;
  own.capture = point.capture;
  own.after.insert(point.after.begin(), point.after.end());
}

size_t live_streams() {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  return all.entries.size();
}

void end_all_streams() {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    for (const auto& [handle, entry] : all.entries) streams.push_back(entry.stream);
    for (const auto& [device, stream] : all.defaults) streams.push_back(stream);
    streams.insert(streams.end(), all.destroyed.begin(), all.destroyed.end());
  }
  for (const std::shared_ptr<Stream>& stream : streams) stream->abandon(0);
  for (const std::shared_ptr<Stream>& stream : streams) stream->abandon(200);
}

}  // namespace bitmill::fake_cuda
