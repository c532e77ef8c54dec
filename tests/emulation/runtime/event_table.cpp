#include "emulation/runtime/event_table.hpp"

#include <map>
#include <mutex>

#include "emulation/runtime/handles.hpp"

namespace bitmill::fake_cuda {
namespace {

struct Table {
  std::mutex mutex;
  std::map<cudaEvent_t, std::shared_ptr<Event>> events;
};
Table& table() {
  static auto* once = new Table;
  return *once;
}

}  // namespace

cudaEvent_t make_event(int device, unsigned flags) {
  const std::lock_guard lock(table().mutex);
  const auto handle = new_handle<cudaEvent_t>();
  table().events[handle] = std::make_shared<Event>(device, flags);
  return handle;
}

bool destroy_event(cudaEvent_t handle) {
  const std::lock_guard lock(table().mutex);
  return table().events.erase(handle) > 0;
}

std::shared_ptr<Event> find_event(cudaEvent_t handle) {
  const std::lock_guard lock(table().mutex);
  const auto found = table().events.find(handle);
  return found == table().events.end() ? nullptr : found->second;
}

size_t live_events() {
  const std::lock_guard lock(table().mutex);
  return table().events.size();
}

}  // namespace bitmill::fake_cuda
