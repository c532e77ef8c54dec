#include "schedule/step_parts.hpp"

#include <algorithm>

namespace bitmill {

double part_seconds(const StepPart& part, const DeviceRates& rates) {
  return std::max(part.flops / rates.flops_per_s, part.bytes / rates.bytes_per_s);
}

double parts_seconds(std::span<const StepPart> parts, const DeviceRates& rates) {
  double device_s = 0;
  int64_t calls = 0;
  for (const StepPart& part : parts) {
    device_s += part_seconds(part, rates);
    calls += part.calls;
  }
  return std::max(device_s, static_cast<double>(calls) * rates.call_s);
}

}  // namespace bitmill
