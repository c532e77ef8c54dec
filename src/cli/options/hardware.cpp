#include "cli/options/hardware.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "base/error.hpp"
#include "base/suggestion.hpp"

namespace bitmill {
namespace {

constexpr int64_t largest_table = 1 << 20;  // bytes; a table is about a page

// A figure of a machine under its key.
struct RateKey {
  const char* key;
  double Machine::*rate;
  bool needed;  // must be above 0; others may be left out and are 0 then
  const char* meaning;
};

constexpr std::array rate_keys = {
    RateKey{"unit-flops", &Machine::unit_flops_per_s, true, "operations a second in training"},
    RateKey{"forward-flops", &Machine::forward_flops_per_s, true,
            "operations a second in forward passes"},
    RateKey{"unit-seconds", &Machine::unit_s, false, "of a sample's gradient beside its products"},
    RateKey{"launch-seconds", &Machine::launch_s, false,
            "of a kernel's launch; makes it a GPU: its time is counted kernel by kernel"},
    RateKey{"thread-gain", &Machine::thread_gain, false,
            "of a further thread on one sample, of its own speed"},
    RateKey{"prepare-rate", &Machine::prepare_weights_per_s, true,
            "weights a second made ready to train"},
    RateKey{"pack-rate", &Machine::pack_weights_per_s, true, "weights a second packed"},
    RateKey{"memory-rate", &Machine::memory_bytes_per_s, true, "bytes a second of a rank's memory"},
    RateKey{"link-rate", &Machine::link_bytes_per_s, true, "bytes a second to another rank"},
    RateKey{"link-latency", &Machine::link_latency_s, false, "seconds of a message"},
    RateKey{"read-rate", &Machine::read_bytes_per_s, true, "bytes a second of the model's files"},
    RateKey{"hash-rate", &Machine::hash_bytes_per_s, false,
            "bytes a second of files that are hashed and no more"},
    RateKey{"write-rate", &Machine::write_bytes_per_s, true, "bytes a second to the run folder"},
    RateKey{"write-latency", &Machine::write_latency_s, false, "seconds of a commit"},
    RateKey{"start-seconds", &Machine::start_s, false, "from a rank's launch to its work"}};

OptionGroups hardware_keys() {
  OptionGroup group{"a machine",
                    {{"per-thread", "", "", "rates are of one thread"},
                     {"memory", "BYTES", "", "that a rank may use"},
                     {"fixed-memory", "BYTES", "", "that a rank holds before it has work"},
                     {"host-fixed-memory", "BYTES", "",
                      "the same of its host, where the device has memory of its own"},
                     {"weight-bytes", "N", "", "of a weight in products"},
                     {"node-ranks", "N", "", "ranks of a node, which have faster links"},
                     {"node-link-rate", "RATE", "", "bytes a second to another rank of a node"}}};
  for (const RateKey& one : rate_keys) {
    group.options.push_back({one.key, "RATE", "", one.meaning});
  }
  return {group};
}

Machine machine_of(const Settings& settings, int threads) {
  Machine machine;
  for (const RateKey& one : rate_keys) {
    machine.*one.rate = settings.rate_or(one.key, 0);
    BITMILL_CHECK(
        !one.needed || machine.*one.rate > 0, UsageError,
        fmt::format("{}: a table of hardware needs a number above 0", settings.origin(one.key)));
  }
  machine.memory_bytes = settings.bytes_or("memory", 0);
  machine.fixed_bytes = settings.bytes_or("fixed-memory", 0);
  machine.host_fixed_bytes = settings.bytes_or("host-fixed-memory", 0);
  machine.weight_bytes = static_cast<int>(settings.whole_or("weight-bytes", 4, 1, 8));
  if (settings.is_on("per-thread")) machine.samples_at_once = threads;
  return machine;
}

Settings read_table(Files& files, const std::string& given) {
  std::vector<std::string> names;
  for (const EmbeddedRecipe& table : embedded_hardware()) {
    if (table.name == given) {
      return parse_section(table.text, "hardware " + table.name, "", hardware_keys());
    }
    names.push_back(table.name);
  }
  BITMILL_CHECK(given.ends_with(".cfg"), UsageError,
                fmt::format("there is no hardware \"{}\"{}; there are {}, or give the path of a "
                            ".cfg file",
                            given, did_you_mean(given, names, ""), fmt::join(names, ", ")));
  return parse_section(read_text(files, given, largest_table), given, "", hardware_keys());
}

}  // namespace

Machine read_hardware(Files& files, const std::string& given, int threads) {
  return machine_of(read_table(files, given), threads);
}

NodeLinks read_node_links(Files& files, const std::string& given) {
  const Settings table = read_table(files, given);
  const NodeLinks node{static_cast<int>(table.whole_or("node-ranks", 0, 1, 1 << 10)),
                       table.rate_or("node-link-rate", 0)};
  BITMILL_CHECK((node.ranks > 0) == (node.bytes_per_s > 0), UsageError,
                fmt::format("{}: node-ranks and node-link-rate belong together", given));
  return node;
}

std::string hardware_text(const Machine& machine, const std::string& about) {
  std::string text = fmt::format("# {}\n\nper-thread = yes\n", about);
  for (const RateKey& one : rate_keys) {
    text += fmt::format("# {}\n{} = {:.6g}\n", one.meaning, one.key, machine.*one.rate);
  }
  if (machine.memory_bytes > 0) text += fmt::format("memory = {}\n", machine.memory_bytes);
  if (machine.host_fixed_bytes > 0) {
    text += fmt::format("host-fixed-memory = {}\n", machine.host_fixed_bytes);
  }
  return text + fmt::format("fixed-memory = {}\nweight-bytes = {}\n", machine.fixed_bytes,
                            machine.weight_bytes);
}

}  // namespace bitmill
