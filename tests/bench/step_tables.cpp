#include "bench/step_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/error.hpp"
#include "cli/options/hardware.hpp"
#include "model/family.hpp"
#include "pipeline/checks/workload.hpp"
#include "schedule/cost_model.hpp"

namespace bitmill {
namespace {

constexpr std::array models = {std::string_view("70B"), std::string_view("13B"),
                               std::string_view("7B")};
constexpr std::array devices = {std::string_view("h100"), std::string_view("h200")};

// Bytes a second, data sheets: PCIe 5.0 x16 in one direction, as H100 and H200 have it (128e9 in
// both); a drive for PCIe 5.0, Samsung's PM1743.
constexpr double link_rate = 64e9, drive_reads = 13e9, drive_writes = 6.6e9, thread_copies = 10e9;

// The config.json that Meta published with each LLaMA-2.
ModelConfig published(std::string_view model) {
  struct Sizes {
    std::string_view name;
    int64_t hidden, intermediate, blocks, heads, kv_heads;
  };
  constexpr std::array all = {Sizes{"7B", 4096, 11008, 32, 32, 32},
                              Sizes{"13B", 5120, 13824, 40, 40, 40},
                              Sizes{"70B", 8192, 28672, 80, 64, 8}};
  const auto found = std::ranges::find(all, model, &Sizes::name);
  BITMILL_CHECK(found != all.end(), Error, fmt::format("no sizes of {}", model));
  ModelConfig config;
  config.family = find_family("LlamaForCausalLM");
  config.hidden_size = config.embedding_size = found->hidden;
  config.intermediate_size = found->intermediate;
  config.blocks = found->blocks;
  config.heads = found->heads;
  config.kv_heads = found->kv_heads;
  config.head_dim = found->hidden / found->heads;
  config.vocab_size = 32000;
  config.context = 4096;
  return config;
}

Workload work_of(const PageCase& which) {
  QuantizeOptions options;
  options.seq_len = 2048;
  options.batch = which.batch;
  options.method.learned.signs = which.learned_signs;
  return workload_of(options, published(which.model));
}

Machine machine_of(const PageCase& which) {
  const std::unique_ptr<Files> files = posix_files();
  return read_hardware(*files, std::string(which.hardware), 1);
}

void add_parts(const StepParts& from, int64_t times, const DeviceRates& rates, PageStep& step) {
  if (times == 0) return;
  for (StepPart part : from) {
    step.seconds += static_cast<double>(times) * part_seconds(part, rates);
    step.launches += times * part.calls;
    part.calls *= times;
    part.flops *= static_cast<double>(times);
    part.bytes *= static_cast<double>(times);
    step.parts.push_back(part);
  }
}

std::string ms(double seconds) { return fmt::format("{:.2f} ms", 1e3 * seconds); }
std::string percent(double part) { return fmt::format("{:.1f}%", 100 * part); }
std::string size(double bytes) {
  return bytes < 1e8 ? fmt::format("{:.1f} MB", 1e-6 * bytes)
                     : fmt::format("{:.2f} GB", 1e-9 * bytes);
}

std::string row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}
std::string head(const std::vector<std::string>& cells) {
  std::string line = row(cells);
  for (size_t i = 0; i < cells.size(); ++i) line += "| --- ";
  return line + "|\n";
}

std::string name_of(std::string_view device) { return device == "h100" ? "H100" : "H200"; }

// Names in the order of their first part.
std::vector<std::string_view> names_of(const StepParts& parts) {
  std::vector<std::string_view> names;
  for (const StepPart& part : parts) {
    if (std::ranges::count(names, part.name) == 0) names.push_back(part.name);
  }
  return names;
}

std::string largest_kernel(const PageStep& step) {
  std::string_view largest;
  for (const StepPart& part : step.parts) {
    const bool larger = largest.empty() || step.part_of(part.name) > step.part_of(largest);
    if (part.kind == PartKind::kernel && larger) largest = part.name;
  }
  return fmt::format("`{}` {}", largest, percent(step.part_of(largest)));
}

std::string steps_row(const PageCase& which) {
  const PageStep step = page_step(which);
  const std::string signs =
      which.learned_signs ? fmt::format("learned, {}", which.batch) : "frozen, any";
  const std::string each = which.learned_signs ? "" : " each";
  return row({fmt::format("{}, {}, {}", which.model, signs, name_of(which.hardware)),
              ms(step.seconds) + each, percent(step.part_of(PartKind::product)),
              percent(step.part_of(PartKind::kernel)), percent(step.part_of(PartKind::library)),
              largest_kernel(step), fmt::format("{}, {}", step.launches, ms(step.launches_s))});
}

std::string overlap_row(const PageCase& which) {
  const Workload work = work_of(which);
  const PageStep step = page_step(which);
  const double samples_bytes =
      3.0 * static_cast<double>(which.batch * work.seq_len * work.hidden * work.stream_bytes);
  const double epoch_s = step.seconds * static_cast<double>(work.steps_per_epoch());
  const auto weights = static_cast<double>(work.source_bytes);
  // As float32, twice: LiveBlock brings them for forward passes, which round them, and for the
  // grid.
  const double weights_sent = 2.0 * static_cast<double>(work.weights) * sizeof(float);
  const auto state = static_cast<double>(work.state_bytes);
  const auto of = [](double part_s, double whole_s) {
    return fmt::format("{}, {}", ms(part_s), percent(part_s / whole_s));
  };
  return row({fmt::format("{}, {}, {}", which.model, which.learned_signs ? "learned" : "frozen",
                          name_of(which.hardware)),
              size(samples_bytes), of(samples_bytes / link_rate, step.seconds),
              of(samples_bytes / thread_copies, step.seconds), fmt::format("{:.2f} s", epoch_s),
              size(weights), of(weights_sent / link_rate, epoch_s),
              of(weights / drive_reads, epoch_s), size(state), of(state / drive_writes, epoch_s)});
}

}  // namespace

double PageStep::part_of(std::string_view name) const {
  double sum = 0;
  for (const StepPart& part : parts) sum += part.name == name ? part_seconds(part, rates) : 0;
  return sum / seconds;
}

double PageStep::part_of(PartKind kind) const {
  double sum = 0;
  for (const StepPart& part : parts) sum += part.kind == kind ? part_seconds(part, rates) : 0;
  return sum / seconds;
}

PageStep page_step(const PageCase& which) {
  const Workload work = work_of(which);
  const Machine machine = machine_of(which);
  PageStep step;
  step.rates = machine.part_rates();
  add_parts(work.on_device.unit, which.batch, step.rates, step);
  add_parts(work.on_device.addition, which.batch - 1, step.rates, step);
  add_parts(work.on_device.step, 1, step.rates, step);
  const double adamw_bytes = adam_seconds(work, machine, 1) * machine.memory_bytes_per_s;
  add_parts({{"adamw", PartKind::kernel, 0, adamw_bytes, 1}}, 1, step.rates, step);
  step.launches_s = static_cast<double>(step.launches) * step.rates.call_s;
  return step;
}

std::string steps_table() {
  std::string table = head({"model, signs, B, device", "step", "products", "our kernels",
                            "libtorch", "largest of ours", "launches, and on the host"});
  for (const std::string_view model : models) {
    for (const std::string_view device : devices) table += steps_row({model, false, 1, device});
  }
  for (const std::string_view device : devices) {
    for (const int64_t batch : {1, 4, 8}) table += steps_row({"70B", true, batch, device});
  }
  return table;
}

std::string parts_table() {
  std::vector<std::string> names = {"part"};
  std::vector<PageStep> steps;
  for (const std::string_view model : models) {
    for (const std::string_view device : devices) {
      names.push_back(fmt::format("{}, {}", model, name_of(device)));
      steps.push_back(page_step({model, false, 1, device}));
    }
  }
  std::string table = head(names);
  for (const std::string_view name : names_of(steps.front().parts)) {
    std::vector<std::string> cells = {std::string(name)};
    for (const PageStep& step : steps) {
      cells.push_back(fmt::format("{:.3f} ms, {}", 1e3 * step.part_of(name) * step.seconds,
                                  percent(step.part_of(name))));
    }
    table += row(cells);
  }
  return table;
}

std::string overlap_table() {
  std::string table =
      head({"model, signs, device", "samples, a step", "over the link", "by one thread", "an epoch",
            "next block", "over the link", "from a drive", "state, an epoch", "to a drive"});
  for (const std::string_view model : models) {
    for (const bool signs : {false, true}) {
      for (const std::string_view device : devices) {
        table += overlap_row({model, signs, signs ? 8 : 1, device});
      }
    }
  }
  return table;
}

}  // namespace bitmill
