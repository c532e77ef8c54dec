#include "cli/commands/job_control.hpp"

#include <algorithm>

#include "cli/process/compute_device.hpp"
#include "cli/process/run_control.hpp"

namespace bitmill {
namespace {

// The time limit of the job, or what is left of that of the chain it is a part of.
std::optional<double> least_time(const ChainContext* chain, std::optional<double> own) {
  if (chain == nullptr || !chain->deadline) return own;
  const std::chrono::duration<double> left = *chain->deadline - std::chrono::steady_clock::now();
  return std::max(0.0, own ? std::min(*own, left.count()) : left.count());
}

}  // namespace

std::unique_ptr<Device> take_device(const RunContext& context, const std::string& backend,
                                    Dtype dtype) {
  auto device = make_device(backend, dtype, context.host_rank, context.pool);
  if (device->torch().is_cuda()) context.activity.set_device(device->description());
  return device;
}

RunControl make_job_control(RunContext& context, const std::string& work_dir,
                            std::optional<double> time_limit_s) {
  const std::string report_path = join_path(work_dir, "trouble.json");
  if (context.comm.rank() != 0) context.watch.set_report_path(report_path);
  RunControl control =
      make_run_control(context.stop, least_time(context.chain, time_limit_s),
                       [&](const std::string& text) { context.console.say(text); });
  control.transfer_patience_s = context.watch.transfer_patience_s();
  control.work_dir_answers = [&context, work_dir, report_path] {
    context.watch.set_report_path(report_path);
    if (context.chain != nullptr) {
      context.chain->folder_answers();
    } else {
      leave_run_note(context.files, work_dir);
    }
  };
  return control;
}

}  // namespace bitmill
