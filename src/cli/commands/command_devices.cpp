#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/host_name.hpp"
#include "channel/nccl.hpp"
#include "cli/commands/command.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "device/device.hpp"

namespace bitmill {
namespace {

std::string architecture_word(const CudaDeviceInfo& device) {
  return fmt::format("sm_{}{}", device.major, device.minor);
}

nlohmann::ordered_json device_json(const CudaDeviceInfo& device) {
  return {{"index", device.index},
          {"name", device.name},
          {"memory_bytes", device.memory_bytes},
          {"free_bytes", device.free_bytes},
          {"architecture", architecture_word(device)},
          {"multiprocessors", device.multiprocessors},
          {"usable", device.problem.empty()},
          {"problem", device.problem}};
}

std::string devices_json(const CudaHost& host) {
  nlohmann::ordered_json devices = nlohmann::ordered_json::array();
  for (const CudaDeviceInfo& device : host.devices) devices.push_back(device_json(device));
  return json_line({{"devices", devices},
                    {"driver", host.driver},
                    {"runtime", host.runtime},
                    {"nccl", nccl_version()},
                    {"compiled", host.compiled},
                    {"problem", host.problem},
                    {"host", host_name()}});
}

std::string devices_table(const CudaHost& host) {
  Table table({{"device", Table::Align::left},
               {"name", Table::Align::left},
               {"memory"},
               {"free"},
               {"architecture"},
               {"multiprocessors"},
               {"usable", Table::Align::left}});
  for (const CudaDeviceInfo& device : host.devices) {
    table.add_row({fmt::format("cuda:{}", device.index), device.name,
                   format_bytes(device.memory_bytes), format_bytes(device.free_bytes),
                   architecture_word(device), format_count(device.multiprocessors),
                   device.problem.empty() ? "yes" : "no"});
  }
  std::string text = table.text();
  for (const CudaDeviceInfo& device : host.devices) {
    if (!device.problem.empty()) text += fmt::format("cuda:{}: {}\n", device.index, device.problem);
  }
  return text;
}

// CUDA_VISIBLE_DEVICES is what hides or renumbers devices most often.
std::string what_is_seen(const CudaHost& host) {
  if (host.devices.empty()) return fmt::format("no GPU on {}: {}\n", host_name(), host.problem);
  const auto chosen = process_environment()("CUDA_VISIBLE_DEVICES");
  return fmt::format("GPUs of {} that this process sees{}\n\n{}", host_name(),
                     chosen ? fmt::format(" (CUDA_VISIBLE_DEVICES={})", *chosen) : "",
                     devices_table(host));
}

std::string version_or(const std::string& version, const std::string& otherwise) {
  return version.empty() ? otherwise : "CUDA " + version;
}

std::string devices_text(const CudaHost& host) {
  std::string text = what_is_seen(host) + "\n";
  if (!host.compiled) return text + "driver, runtime, NCCL: not looked for\n";
  Table versions({{"", Table::Align::left}, {"", Table::Align::left}});
  versions.add_row({"driver", version_or(host.driver, "none is loaded")});
  versions.add_row({"runtime", version_or(host.runtime, "unknown")});
  const std::string nccl = nccl_version();
  versions.add_row({"NCCL", nccl.empty() ? "does not say its version" : nccl});
  return text + versions.text();
}

class DevicesCommand : public Command {
 public:
  explicit DevicesCommand(bool json) : json_(json) {}

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    const CudaHost host = find_cuda_devices(DeviceLook::try_out);
    context.console.print(json_ ? devices_json(host) : devices_text(host));
  }

 private:
  const bool json_;
};

}  // namespace

CommandEntry devices_entry() {
  return {.name = "devices",
          .summary = "list the GPUs of this host, and whether bitmill can use them",
          .about =
              "Lists the GPUs that this process sees, lets each of them compute, and says in words "
              "why one cannot be used. Driver and runtime are given as versions of CUDA. Without a "
              "GPU the list is empty, which is no failure. With several ranks, the host of rank 0 "
              "is listed.",
          .usage = {"devices [options]"},
          .example = "bitmill devices",
          .positional = "",
          .options = {{"options", {json_option("the list")}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<DevicesCommand>(settings.is_on("json"));
          }};
}

}  // namespace bitmill
