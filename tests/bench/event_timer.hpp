#pragma once
// Times of what is queued on the default stream of a GPU.

#include <algorithm>
#include <vector>

#include "gpu/device_array.hpp"

namespace bitmill {

class Event {
 public:
  Event() { cuda_check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record() { cuda_check(cudaEventRecord(event_, nullptr), "cudaEventRecord"); }
  float ms_since(const Event& begin) const {
    float ms = 0;
    cuda_check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    cuda_check(cudaEventElapsedTime(&ms, begin.event_, event_), "cudaEventElapsedTime");
    return ms;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// The median of 20 runs, after 3 that do not count.
template <typename Run>
double median_ms(Run run) {
  std::vector<float> all;
  for (int i = 0; i < 23; ++i) {
    Event begin, end;
    begin.record();
    run();
    end.record();
    const float ms = end.ms_since(begin);
    if (i >= 3) all.push_back(ms);
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace bitmill
