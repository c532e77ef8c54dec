#pragma once
// The activations of this rank's samples between two blocks: float32 [seq_len, hidden] each. The
// first ones are held in memory, as many as fit the budget; the rest live in a scratch file.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

// How much memory the streams of a rank may take together, and where the rest goes.
class StreamBudget {
 public:
  // `scratch_path` is a file name that nothing else uses; the file is created when first needed,
  // and removed at once (its space is freed when the streams are gone).
  StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path);
  ~StreamBudget();

  // True when `bytes` were taken from the memory that is left.
  bool take(int64_t bytes);
  void give_back(int64_t bytes);
  // The offset of a new region of the scratch file.
  int64_t reserve_scratch(int64_t bytes);
  OutputFile& scratch();

 private:
  Files& files_;
  const std::string path_;
  int64_t left_;
  int64_t scratch_end_ = 0;
  std::unique_ptr<OutputFile> scratch_;
};

class SampleStream {
 public:
  // The budget outlives the stream. `count` may be 0.
  SampleStream(StreamBudget& budget, int64_t count, int64_t seq_len, int64_t hidden);
  ~SampleStream();
  SampleStream(const SampleStream&) = delete;
  SampleStream& operator=(const SampleStream&) = delete;

  int64_t count() const { return count_; }
  // [seq_len, hidden] float32. A sample in memory is shared, not copied: the caller must not
  // write to it. Safe from several threads on different samples.
  at::Tensor load(int64_t sample) const;
  void store(int64_t sample, const at::Tensor& value);

 private:
  StreamBudget& budget_;
  const int64_t count_;
  const int64_t seq_len_;
  const int64_t hidden_;
  int64_t in_memory_ = 0;
  int64_t scratch_offset_ = 0;
  std::vector<at::Tensor> memory_;
};

}  // namespace bitmill
