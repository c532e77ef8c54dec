#include "pipeline/job/quantize_forecast.hpp"

#include <algorithm>

namespace bitmill {

int64_t room_for_streams(const QuantizeForecast& forecast, int64_t device_bytes) {
  const int64_t room = device_bytes - forecast.device_block_bytes;
  const bool spills = forecast.stream_bytes > room;
  return std::max<int64_t>(0, spills ? room - forecast.device_arriving_bytes : room);
}

int64_t least_device_bytes(const QuantizeForecast& forecast, int64_t device_bytes) {
  const bool spills = forecast.stream_bytes > device_bytes - forecast.device_block_bytes;
  return forecast.device_block_bytes + (spills ? forecast.device_arriving_bytes : 0);
}

int64_t device_bytes_with(const QuantizeForecast& forecast, int64_t device_bytes) {
  if (forecast.device_block_bytes == 0) return 0;
  const int64_t room = room_for_streams(forecast, device_bytes);
  const bool spills = forecast.stream_bytes > room;
  return forecast.device_block_bytes + std::min(room, forecast.stream_bytes) +
         (spills ? forecast.device_arriving_bytes : 0);
}

namespace {

// With the copy of a state, where forecast.save_beside.
int64_t host_bytes_with_copy(const QuantizeForecast& forecast, const QuantizeOptions& options,
                             int64_t device_bytes) {
  if (forecast.device_block_bytes == 0) return forecast.peak_memory_bytes;
  const int64_t spilled =
      std::max<int64_t>(0, forecast.stream_bytes - room_for_streams(forecast, device_bytes));
  const int64_t in_memory =
      options.stream_memory > 0 ? std::min(options.stream_memory, spilled) : spilled;
  return forecast.peak_memory_bytes - forecast.host_stream_bytes + in_memory;
}

}  // namespace

bool saves_beside_with(const QuantizeForecast& forecast, const QuantizeOptions& options,
                       int64_t device_bytes) {
  if (!forecast.save_beside || options.memory_limit == 0) return forecast.save_beside;
  return host_bytes_with_copy(forecast, options, device_bytes) <= options.memory_limit;
}

int64_t host_bytes_with(const QuantizeForecast& forecast, const QuantizeOptions& options,
                        int64_t device_bytes) {
  const bool copies = saves_beside_with(forecast, options, device_bytes);
  return host_bytes_with_copy(forecast, options, device_bytes) - (copies ? 0 : forecast.copy_bytes);
}

Plan plan_of(const QuantizeOptions& options, const QuantizeForecast& forecast) {
  return make_plan(static_cast<int>(forecast.blocks), options.epochs, options.lag,
                   forecast.mesh.stages, forecast.walk);
}

}  // namespace bitmill
