#include "cli/hardware.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.hpp"
#include "cli/suggestion.hpp"

namespace bitmill {
namespace {

constexpr int64_t largest_table = 1 << 20;  // bytes; a table is a page

OptionGroups hardware_keys() {
  return {{"a machine",
           {{"per-thread", "", "", "rates are of one thread"},
            {"unit-flops", "RATE", "", "operations a second in training"},
            {"forward-flops", "RATE", "", "operations a second in forward passes"},
            {"unit-seconds", "SECONDS", "", "of a unit beside its products"},
            {"memory-rate", "RATE", "", "bytes a second of a rank's memory"},
            {"link-rate", "RATE", "", "bytes a second to another rank"},
            {"link-latency", "SECONDS", "", "of a message"},
            {"read-rate", "RATE", "", "bytes a second of the model's files"},
            {"write-rate", "RATE", "", "bytes a second to the run folder"},
            {"memory", "BYTES", "", "that a rank may use"},
            {"fixed-memory", "BYTES", "", "that a rank holds before it has work"},
            {"weight-bytes", "N", "", "of a weight in products"},
            {"stream-bytes", "N", "", "of an activation between blocks"}}}};
}

double positive(const Settings& settings, const std::string& key) {
  const double value = settings.rate_or(key, 0);
  BITMILL_CHECK(
      value > 0, UsageError,
      fmt::format("{}: a table of hardware needs a number above 0", settings.origin(key)));
  return value;
}

Machine machine_of(const Settings& settings, int threads) {
  Machine machine;
  machine.unit_flops_per_s = positive(settings, "unit-flops");
  machine.forward_flops_per_s = positive(settings, "forward-flops");
  machine.unit_s = settings.rate_or("unit-seconds", 0);
  machine.memory_bytes_per_s = positive(settings, "memory-rate");
  machine.link_bytes_per_s = positive(settings, "link-rate");
  machine.link_latency_s = settings.rate_or("link-latency", 0);
  machine.read_bytes_per_s = positive(settings, "read-rate");
  machine.write_bytes_per_s = positive(settings, "write-rate");
  machine.memory_bytes = settings.bytes_or("memory", 0);
  machine.fixed_bytes = settings.bytes_or("fixed-memory", 0);
  machine.weight_bytes = static_cast<int>(settings.whole_or("weight-bytes", 4, 1, 8));
  machine.stream_bytes = static_cast<int>(settings.whole_or("stream-bytes", 4, 1, 8));
  if (settings.is_on("per-thread")) machine.samples_at_once = threads;
  return machine;
}

}  // namespace

Machine read_hardware(Files& files, const std::string& given, int threads) {
  std::vector<std::string> names;
  for (const EmbeddedRecipe& table : embedded_hardware()) {
    if (table.name == given) {
      return machine_of(parse_section(table.text, "hardware " + table.name, "", hardware_keys()),
                        threads);
    }
    names.push_back(table.name);
  }
  BITMILL_CHECK(given.ends_with(".cfg"), UsageError,
                fmt::format("there is no hardware \"{}\"{}; there are {}, or give the path of a "
                            ".cfg file",
                            given, did_you_mean(given, names, ""), fmt::join(names, ", ")));
  return machine_of(
      parse_section(read_text(files, given, largest_table), given, "", hardware_keys()), threads);
}

}  // namespace bitmill
