#pragma once
// The device of this rank, as --backend and --dtype ask for it.

#include <memory>
#include <string>

#include "base/thread_pool.hpp"
#include "device/device.hpp"
#include "format/dtype.hpp"

namespace bitmill {

// `host_rank` is this rank's index among the job's ranks on its host: it takes that GPU, and the
// ranks go round where there are fewer of them. DeviceError as of cuda_device().
std::unique_ptr<Device> make_device(const std::string& backend, Dtype dtype, int host_rank,
                                    ThreadPool& pool);

// Of this rank: "backend cpu"; "backend cuda: NVIDIA H200 (cuda:0), 151 GB, bfloat16".
std::string backend_words(const std::string& backend, const Device& device);

}  // namespace bitmill
