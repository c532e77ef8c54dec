#include "cli/commands/job_control.hpp"

#include "cli/process/run_control.hpp"

namespace bitmill {

RunControl make_job_control(RunContext& context, const std::string& work_dir,
                            std::optional<double> time_limit_s) {
  const std::string report_path = join_path(work_dir, "trouble.json");
  if (context.comm.rank() != 0) context.watch.set_report_path(report_path);
  RunControl control = make_run_control(
      context.stop, time_limit_s, [&](const std::string& text) { context.console.say(text); });
  control.transfer_patience_s = context.watch.transfer_patience_s();
  control.work_dir_answers = [&context, work_dir, report_path] {
    context.watch.set_report_path(report_path);
    leave_run_note(context.files, work_dir);
  };
  return control;
}

}  // namespace bitmill
