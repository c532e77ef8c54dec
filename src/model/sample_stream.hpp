#pragma once
// The activations of this rank's samples between two blocks: [seq_len, hidden] each, float32 or
// rounded to 16 bits. They lie in three tiers, as far as the budget goes: the first ones on the
// device, where it has memory of its own; the next ones in the host's memory; the rest in a scratch
// file. Where a sample lies has no influence on its bits.
//
// The disk works while the caller computes, without a thread of ours. store() writes into the
// system's cache and starts the transfer to the disk at once. So a writer need not wait for the
// disk, and the cache's memory is free again when others want it. prefetch() starts the transfer
// from the disk into that cache. bring_ahead() starts the copy to the device of a sample that lies
// elsewhere.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "device/device.hpp"
#include "format/dtype.hpp"
#include "model/stream_check.hpp"

namespace bitmill {

// What streams may take on a device with memory of its own.
struct DeviceTier {
  const Device* device = nullptr;  // outlives the budget
  int64_t bytes = 0;
};

// How much memory the streams of a rank may take together, and where the rest goes. Streams that
// share a budget are made and dropped by one thread.
class StreamBudget {
 public:
  // `scratch_path` is a file name that nothing else uses. The file, and its folder if it does not
  // exist, are created when first needed. The file's name is removed at once: a killed run leaves
  // nothing behind, and the space is freed when the budget is destroyed.
  StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path,
               const DeviceTier& tier = {});

  // Takes `bytes` from the memory that is left. False when less than that is left.
  bool take(int64_t bytes);
  void give_back(int64_t bytes);
  // The same of the device.
  bool take_of_device(int64_t bytes);
  void give_back_to_device(int64_t bytes);
  const Device* device() const { return tier_.device; }

  // A place on the device for a sample that is brought ahead; null where all are in use, or where
  // the device had no memory for one: then it is not asked again, and samples that find no place
  // come when they are needed. All have one shape and type: that of the first. To be given back to
  // put_back().
  std::unique_ptr<Arrival> arrival(at::IntArrayRef shape, at::ScalarType type);
  void put_back(std::unique_ptr<Arrival> place);

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
  DeviceTier tier_;              // with the bytes that are left
  int places_ = 0;               // for samples that are brought ahead
  bool device_is_full_ = false;  // it had no memory for one more
  std::vector<std::unique_ptr<Arrival>> free_places_;
  int64_t scratch_end_ = 0;
  std::map<int64_t, int64_t> free_;  // offset -> bytes; neighbours are merged
  std::unique_ptr<OutputFile> scratch_;
};

class SampleStream {
 public:
  // The budget outlives the stream. `count` may be 0. All streams of a budget with a device have
  // one shape and dtype: float32, float16 or bfloat16.
  SampleStream(StreamBudget& budget, int64_t count, int64_t seq_len, int64_t hidden,
               Dtype dtype = Dtype::float32);
  ~SampleStream();
  SampleStream(const SampleStream&) = delete;
  SampleStream& operator=(const SampleStream&) = delete;

  int64_t count() const { return count_; }
  // The sample as last stored, [seq_len, hidden] float32, on the host. A sample in memory that was
  // never stored is zeros. When the sample is in the host's memory and the dtype is float32, the
  // result is the stream's own memory: the caller must not write to it, and the next store() of the
  // sample changes it. Safe from several threads on different samples. Waits for a device where the
  // sample lies there.
  at::Tensor load(int64_t sample) const;
  // The same in the stream's dtype, for callers that move it elsewhere.
  at::Tensor load_kept(int64_t sample) const;
  // The sample on `device`, in its element type; waits for nothing that is queued there. Like
  // load() on a CPU, and the stream's own memory where the sample lies on the device in that type.
  at::Tensor load_on(const Device& device, int64_t sample) const;
  // Starts to read the sample from the disk, if it is there, for a load() that follows soon. Does
  // nothing for a sample beyond the last one, so that loops need not check for their end. Safe from
  // any thread.
  void prefetch(int64_t sample) const;
  // Starts to copy the sample to the budget's device, if it lies elsewhere and there is a place,
  // for a load_on() that follows soon. To be called after the work that is to go on beside the copy
  // was queued. Only one thread may call it and load_on() then. Like prefetch() beyond the last
  // sample. REQUIRES: the sample was stored.
  void bring_ahead(int64_t sample) const;
  // As load_kept(), on `device`: of a GPU, without waiting for what is queued there, and the
  // stream's own memory where the sample lies there.
  at::Tensor load_kept_on(const Device& device, int64_t sample) const;
  // An empty tensor for one sample, in the stream's dtype.
  at::Tensor room(const at::Device& place = at::kCPU) const;
  // Copies `value`, [seq_len, hidden], float32 or a device's element type, which is rounded to
  // nearest even. NumericError, with the place of `origin`, for a value that is not finite or
  // beyond the range of the stream's dtype (check_stream()). Safe from several threads on different
  // samples. A value on the budget's device stays there where the sample lies there; it waits for
  // what was queued, as it tells whether the value can be kept.
  void store(int64_t sample, const at::Tensor& value, const StreamOrigin& origin);
  // The same for a value of which no origin is known: one that arrived, as load_kept() or
  // load_kept_on() returns it, or one of training, which may diverge. In a float32 stream it is not
  // checked.
  void store(int64_t sample, const at::Tensor& value);

  // How many samples lie on the device, and in the host's memory.
  int64_t on_device() const { return on_device_; }
  int64_t on_host() const { return in_memory_ - on_device_; }

 private:
  void take_tiers();
  void take_device_memory(int64_t stride);  // bytes from one sample to the next
  bool is_on_device(int64_t sample) const { return sample < on_device_; }
  at::Tensor place_of(int64_t sample) const;  // in one of the two memories: a view
  // Contiguous; in the stream's dtype, or on the device.
  void keep(int64_t sample, const at::Tensor& whole);
  void forget_ahead(int64_t sample) const;
  int64_t sample_bytes() const;
  int64_t scratch_offset(int64_t sample) const;

  StreamBudget& budget_;
  const int64_t count_;
  const int64_t seq_len_;
  const int64_t hidden_;
  const Dtype dtype_;
  // Samples [0, on_device_), one behind the other.
  int64_t on_device_ = 0;
  at::Tensor device_memory_;
  // Samples [on_device_, in_memory_), the same outside the heap (base/memory.hpp).
  int64_t in_memory_ = 0;
  at::Tensor memory_;
  mutable std::map<int64_t, std::unique_ptr<Arrival>> ahead_;  // by sample
  int64_t scratch_begin_ = 0;  // of the region with the other samples, in sample order
};

}  // namespace bitmill
