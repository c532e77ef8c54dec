#pragma once
// A GPU has no memory left for a tensor.

#include "base/error.hpp"

namespace bitmill {

class DeviceFullError : public DeviceError {
  using DeviceError::DeviceError;
};

}  // namespace bitmill
