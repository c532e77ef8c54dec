#pragma once
// Where a rank computes: the threads of a CPU, or one GPU. It says where the tensors of the
// computation live and in which type, and how units of work (samples) are carried out there. Code
// that computes asks the tensors it is given: what is on a GPU stays there.
//
// A GPU works through one stream. Whoever calls it queues work and goes on; finish() and fetch()
// wait. One thread queues; autograd brings its own, which uses the same stream.

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"

namespace bitmill {

// Memory of the host on its way to a place on a device, queued beside the device's other work. Of
// one thread.
class Arrival {
 public:
  virtual ~Arrival() = default;
  // Queues the copy of `host` [bytes], which may be changed at once; what was under way is given
  // up. It may begin when the last value() was taken out.
  virtual void begin(const at::Tensor& host) = 0;
  // What arrived, in `type`, as a tensor of its own: work that is queued now comes behind the copy.
  virtual at::Tensor value(at::ScalarType type) = 0;
};

struct DeviceMemory {
  int64_t free_bytes = 0;  // that this process can still get; 0: the host's memory
  // Of these, what no plan should count on: libraries that CUDA loads when they are first used,
  // workspaces of products, and gaps between tensors.
  int64_t reserve_bytes = 0;
  // The most that tensors took at once since this Device was made, as libtorch's allocator counts.
  int64_t peak_bytes = 0;
  int64_t usable_bytes() const { return std::max<int64_t>(0, free_bytes - reserve_bytes); }
};

class Device {
 public:
  virtual ~Device() = default;

  virtual at::Device torch() const = 0;
  // Of activations: float32, or bfloat16 (on a GPU alone).
  virtual at::ScalarType element() const = 0;
  // Of weights and of what else products take: float32 or bfloat16. On a GPU the same as element();
  // on a CPU activations are rounded to it on their way into a product.
  virtual at::ScalarType operand() const = 0;
  // For what the host does: hashing, reading, packing. Outlives the device.
  virtual ThreadPool& host() const = 0;

  // Units that are carried out side by side: the pool's threads, or 1 on a GPU.
  virtual int lanes() const = 0;
  // Calls unit(i) once for each i in [0, count): on the pool's threads, in any order; on a GPU on
  // this thread, in order, and what a unit queued may still be under way afterwards. An exception
  // as in ThreadPool::parallel_for().
  virtual void for_units(int64_t count, const std::function<void(int64_t)>& unit) const = 0;
  // Returns when everything that was queued is done. DeviceError with CUDA's words where it failed.
  virtual void finish() const = 0;

  // A copy of a tensor of the host on this device, in `type`, contiguous and without gradient; the
  // tensor itself where it already is on the device in that type. The tensor may be changed or
  // freed at once. Any thread may call bring() and fetch().
  virtual at::Tensor bring(const at::Tensor& host, at::ScalarType type) const = 0;
  at::Tensor bring(const at::Tensor& host) const { return bring(host, element()); }
  // A copy on the host in `type`, contiguous and without gradient; the tensor itself where it is
  // one. Waits.
  virtual at::Tensor fetch(const at::Tensor& tensor, at::ScalarType type) const = 0;
  at::Tensor fetch(const at::Tensor& tensor) const { return fetch(tensor, at::kFloat); }

  // A place on the device for tensors of this shape and type, one at a time, so that the next one
  // can come while this one is computed with. Null where the device has the host's memory. The
  // device outlives it.
  virtual std::unique_ptr<Arrival> arrival(at::IntArrayRef shape, at::ScalarType type) const = 0;
  virtual DeviceMemory memory() const = 0;

  // "NVIDIA H200 (cuda:0), 151 GB"; "8 threads". A slice of a GPU in MIG mode has a name of its
  // own.
  virtual std::string description() const = 0;
  // Which piece of hardware it is: the same in every process of its host that computes there,
  // whatever number it has in each, and another one for every other GPU. A slice in MIG mode is a
  // piece of its own. "GPU-" and CUDA's UUID, as nvidia-smi -L has it; empty where it is the host.
  virtual std::string identity() const = 0;
  // What the bits of a result depend on besides the options, in words for the fingerprint: "cpu",
  // or the name and kind of GPU, the type, the versions of its libraries, and the revision of our
  // own arithmetic there.
  virtual std::string numerics() const = 0;
};

// `operand`: float32, or bfloat16 where why_no_bfloat16() (host_product.hpp) has nothing to say.
std::unique_ptr<Device> cpu_device(ThreadPool& pool, at::ScalarType operand = at::kFloat);

struct CudaWish {
  int index = 0;  // among the devices that this process may see
  at::ScalarType element = at::kBFloat16;
};
// Makes the device the calling thread's current one, and runs a kernel there. DeviceError with
// CUDA's own words, device, host and what to try; UsageError in a build without CUDA.
std::unique_ptr<Device> cuda_device(const CudaWish& wish, ThreadPool& pool);

// Calls work(). What libtorch throws about a GPU meanwhile leaves as the DeviceError that a call of
// CUDA itself would have ended in; everything else leaves as it is.
void with_device_errors(const std::function<void()>& work);

// Of `bitmill devices`, and of --backend auto.
struct CudaDeviceInfo {
  int index = 0;
  std::string name;
  int64_t memory_bytes = 0;
  int major = 0, minor = 0;  // of its architecture (compute capability)
  int multiprocessors = 0;
  // Known only after DeviceLook::try_out:
  int64_t free_bytes = 0;
  std::string problem;  // why it cannot be used, in words; empty where it can
};
struct CudaHost {
  bool compiled = false;  // whether this build has CUDA
  std::string problem;    // why no device can be used, in words; empty where one can
  // The newest CUDA that the driver knows, and CUDA's runtime: "13.0"; empty where unknown.
  std::string driver, runtime;
  std::vector<CudaDeviceInfo> devices;  // that this process may see
};
enum class DeviceLook {
  list,     // names and sizes; takes nothing on the devices
  try_out,  // runs a kernel on each device, which takes some of its memory until the process ends
};
// Throws nothing but std::bad_alloc: what is wrong is in the result.
CudaHost find_cuda_devices(DeviceLook look = DeviceLook::list);

}  // namespace bitmill
