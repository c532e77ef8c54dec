#include "pipeline/job/quantize_forecast.hpp"

namespace bitmill {

Plan plan_of(const QuantizeOptions& options, const QuantizeForecast& plan) {
  return make_plan(static_cast<int>(plan.blocks), options.epochs, options.lag, plan.mesh.stages,
                   plan.walk);
}

}  // namespace bitmill
