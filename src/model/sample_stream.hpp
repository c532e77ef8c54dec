#pragma once
// The activations of this rank's samples between two blocks: [seq_len, hidden] each, float32 or
// rounded to 16 bits. The first ones are held in memory, as many as fit the budget; the rest live
// in a scratch file.
//
// The disk works while the caller computes, without a thread of ours: what is stored goes into the
// system's cache and is on its way out from then on, so that its memory is free for others when it
// is wanted and nobody who writes has to wait for the disk; and what prefetch() asked for comes
// into that cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// How much memory the streams of a rank may take together, and where the rest goes. Streams that
// share a budget are made and dropped by one thread.
class StreamBudget {
 public:
  // `scratch_path` is a file name that nothing else uses; the file, and its folder where there is
  // none, are created when first needed. The file is removed at once: a killed run leaves nothing
  // behind, and the space is freed with the budget.
  StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path);

  // True when `bytes` were taken from the memory that is left.
  bool take(int64_t bytes);
  void give_back(int64_t bytes);

  // The offset of a free region of the scratch file, `bytes` > 0 long. Regions that were released
  // are used again, so that the file grows no larger than the streams that live at one time.
  int64_t reserve_scratch(int64_t bytes);
  void release_scratch(int64_t offset, int64_t bytes);
  // REQUIRES: something was reserved.
  const OutputFile& scratch() const { return *scratch_; }
  int64_t scratch_bytes() const { return scratch_end_; }

 private:
  void create_scratch();

  Files& files_;
  const std::string path_;
  int64_t left_;
  int64_t scratch_end_ = 0;
  std::map<int64_t, int64_t> free_;  // offset -> bytes; neighbours are merged
  std::unique_ptr<OutputFile> scratch_;
};

class SampleStream {
 public:
  // The budget outlives the stream. `count` may be 0.
  // dtype: float32, float16 or bfloat16.
  SampleStream(StreamBudget& budget, int64_t count, int64_t seq_len, int64_t hidden,
               Dtype dtype = Dtype::float32);
  ~SampleStream();
  SampleStream(const SampleStream&) = delete;
  SampleStream& operator=(const SampleStream&) = delete;

  int64_t count() const { return count_; }
  // [seq_len, hidden] float32, as last stored; zeros before that, in memory. Where it is in memory
  // and float32 it is the stream's own: the caller must not write to it, and the next store() of
  // the sample shows in it. Safe from several threads on different samples.
  at::Tensor load(int64_t sample) const;
  // The same as it is kept, in the stream's dtype: for who moves it elsewhere.
  at::Tensor load_kept(int64_t sample) const;
  // Where the sample is on disk it begins to come from there, for a load() that follows soon. Of a
  // sample beyond the last one nothing happens, so that loops need not look for their end. Any
  // thread.
  void prefetch(int64_t sample) const;
  at::Tensor room() const;  // for one sample, as it is kept
  // float32, which is rounded to nearest even, or as load_kept() gives it; copied. Same threads.
  // NumericError when a value is beyond the range of float16.
  void store(int64_t sample, const at::Tensor& value);

 private:
  int64_t sample_bytes() const;
  int64_t scratch_offset(int64_t sample) const;

  StreamBudget& budget_;
  const int64_t count_;
  const int64_t seq_len_;
  const int64_t hidden_;
  const Dtype dtype_;
  // Samples [0, in_memory_), one behind the other, outside the heap (base/memory.hpp).
  int64_t in_memory_ = 0;
  at::Tensor memory_;
  int64_t scratch_begin_ = 0;  // of the region with the other samples, in sample order
};

}  // namespace bitmill
