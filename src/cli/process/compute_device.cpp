#include "cli/process/compute_device.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/tensor_floats.hpp"

namespace bitmill {

std::unique_ptr<Device> make_device(const std::string& backend, Dtype dtype, int host_rank,
                                    ThreadPool& pool) {
  const at::ScalarType type = scalar_type(dtype);
  if (backend != "cuda") return cpu_device(pool, type);
  const auto devices = static_cast<int>(find_cuda_devices().devices.size());
  return cuda_device({host_rank % std::max(1, devices), type}, pool);
}

std::string backend_words(const std::string& backend, const Device& device) {
  if (device.torch().is_cpu()) {
    return fmt::format("backend {}{}", backend,
                       device.operand() == at::kFloat ? "" : ", products in bfloat16");
  }
  return fmt::format("backend {}: {}, {}", backend, device.description(),
                     dtype_word(dtype_of(device.element())));
}

}  // namespace bitmill
