#include "pipeline/job/quantize_options.hpp"

namespace bitmill {

QuantizeOptions resolve_lag(QuantizeOptions options) {
  if (options.lag == 0) options.lag = options.epochs;
  return options;
}

}  // namespace bitmill
