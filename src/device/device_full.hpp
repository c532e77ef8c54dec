#pragma once
// A GPU has no memory left for a tensor.

#include <functional>
#include <string>

#include "base/error.hpp"

namespace bitmill {

class DeviceFullError : public DeviceError {
  using DeviceError::DeviceError;
};

// Calls work(). A DeviceFullError of it, or of libtorch within it, leaves with `place` in front:
// what was computed, and where.
void at_place(const std::string& place, const std::function<void()>& work);

}  // namespace bitmill
