#include "backend/backend.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace bitmill {

std::unique_ptr<Backend> make_backend(const std::string& name) {
  if (name == "reference") return reference_backend();
  if (name == "cpu") return cpu_backend();
  throw UsageError(fmt::format("there is no backend \"{}\" here: choose cpu or reference", name));
}

std::unique_ptr<Backend> make_backend(const std::string& name, const Device& device) {
  if (device.torch().is_cuda()) return cuda_backend(device.torch(), device.element());
  if (name == "cpu") return cpu_backend(device.operand());
  BITMILL_CHECK(device.operand() == at::kFloat, UsageError,
                fmt::format("the {} backend computes in float32", name));
  return make_backend(name);
}

}  // namespace bitmill
