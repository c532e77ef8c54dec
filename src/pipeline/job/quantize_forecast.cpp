#include "pipeline/job/quantize_forecast.hpp"

namespace bitmill {

Plan plan_of(const QuantizeOptions& options, const QuantizeForecast& forecast) {
  return make_plan(static_cast<int>(forecast.blocks), options.epochs, options.lag,
                   forecast.mesh.stages, forecast.walk);
}

}  // namespace bitmill
