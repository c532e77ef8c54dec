#pragma once
// What `quantize` prints before and after the work.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_forecast.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

// The settings with all defaults filled in, in one line.
std::string describe_settings(const QuantizeOptions& options, const QuantizeForecast& forecast);
// Settings with all defaults filled in, sizes and estimates, as a table.
std::string describe_forecast(const QuantizeOptions& options, const QuantizeForecast& forecast,
                              int ranks, int threads);
nlohmann::ordered_json forecast_json(const QuantizeOptions& options,
                                     const QuantizeForecast& forecast, int ranks, int threads);

// A recipe that would be done sooner on the same ranks.
struct OtherRecipe {
  std::string name;
  double makespan_s = 0;
  int ranks = 0;  // that have work
};

// What mesh_line() needs beside the forecast.
struct MeshFacts {
  int ranks = 1;         // that were started
  int given_stages = 0;  // 0: chosen
  double makespan_s = 0;
  std::optional<OtherRecipe> sooner;
};

// One line with the mesh. When ranks idle: also which, why they get no work, and what would give
// them work.
std::string mesh_line(const QuantizeOptions& options, const QuantizeForecast& forecast,
                      const MeshFacts& facts);

// Facts that only the caller of quantize() knows.
struct RunFacts {
  double seconds = 0;
  int64_t peak_memory_bytes = 0;     // of the busiest rank
  int64_t planned_memory_bytes = 0;  // what was forecast
  int ranks = 1;
};

// One row per block; bad blocks are marked with !. Empty without blocks.
std::string quality_table(const std::vector<BlockReport>& blocks);
std::string describe_result(const QuantizeOptions& options, const QuantizeResult& result,
                            const RunFacts& facts);
nlohmann::ordered_json result_json(const QuantizeOptions& options, const QuantizeResult& result,
                                   const RunFacts& facts);

}  // namespace bitmill
