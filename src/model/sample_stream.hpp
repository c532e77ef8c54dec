#pragma once
// The activations of this rank's samples between two blocks: [seq_len, hidden] each, float32 or
// rounded to 16 bits. The first ones are held in memory, as many as fit the budget; the rest live
// in a scratch file.
//
// The disk works while the caller computes, without a thread of ours. store() writes into the
// system's cache and starts the transfer to the disk at once. So a writer need not wait for the
// disk, and the cache's memory is free again when others want it. prefetch() starts the transfer
// from the disk into that cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/files.hpp"
#include "format/dtype.hpp"
#include "model/stream_check.hpp"

namespace bitmill {

// How much memory the streams of a rank may take together, and where the rest goes. Streams that
// share a budget are made and dropped by one thread.
class StreamBudget {
 public:
  // `scratch_path` is a file name that nothing else uses. The file, and its folder if it does not
  // exist, are created when first needed. The file's name is removed at once: a killed run leaves
  // nothing behind, and the space is freed when the budget is destroyed.
  StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path);

  // Takes `bytes` from the memory that is left. False when less than that is left.
  bool take(int64_t bytes);
  void give_back(int64_t bytes);

  // The offset of a free region of the scratch file, `bytes` > 0 long. Released regions are used
  // again, so that the file does not grow beyond what the streams of one time need.
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
  // The sample as last stored, [seq_len, hidden] float32. A sample in memory that was never stored
  // is zeros. When the sample is in memory and the dtype is float32, the result is the stream's own
  // memory: the caller must not write to it, and the next store() of the sample changes it. Safe
  // from several threads on different samples.
  at::Tensor load(int64_t sample) const;
  // The same in the stream's dtype, for callers that move it elsewhere.
  at::Tensor load_kept(int64_t sample) const;
  // Starts to read the sample from the disk, if it is there, for a load() that follows soon. Does
  // nothing for a sample beyond the last one, so that loops need not check for their end. Safe from
  // any thread.
  void prefetch(int64_t sample) const;
  at::Tensor room() const;  // an empty tensor for one sample, in the stream's dtype
  // Copies `value`, [seq_len, hidden] float32, which is rounded to nearest even. NumericError, with
  // the place of `origin`, for a value that is not finite or beyond the range of the stream's dtype
  // (check_stream()). Safe from several threads on different samples.
  void store(int64_t sample, const at::Tensor& value, const StreamOrigin& origin);
  // The same for a value of which no origin is known: one that arrived, as load_kept() returns it,
  // or one of training, which may diverge. In a float32 stream it is not checked.
  void store(int64_t sample, const at::Tensor& value);

 private:
  void keep(int64_t sample, const at::Tensor& whole);  // in the stream's dtype, contiguous
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
