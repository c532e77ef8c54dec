#include "device/device_full.hpp"

#include <fmt/format.h>

#include "device/device.hpp"

namespace bitmill {

void at_place(const std::string& place, const std::function<void()>& work) {
  try {
    with_device_errors(work);
  } catch (const DeviceFullError& error) {
    throw DeviceFullError(fmt::format("{}: {}", place, error.what()));
  }
}

}  // namespace bitmill
