#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/chain_status.hpp"
#include "cli/commands/command.hpp"
#include "cli/options/pictures.hpp"
#include "cli/report/console.hpp"
#include "cli/report/loss_curve.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/status_table.hpp"
#include "pipeline/folder/run_status.hpp"

namespace bitmill {
namespace {

nlohmann::ordered_json tuning_json(const TuningStatus& tuning) {
  nlohmann::ordered_json json = {{"epochs_done", tuning.epochs_done},
                                 {"epochs_most", tuning.epochs_most},
                                 {"held_out_kl", nullptr}};
  if (tuning.held_out_kl) json["held_out_kl"] = *tuning.held_out_kl;
  return json;
}

nlohmann::ordered_json preprocess_json(const PreprocessStatus& status) {
  nlohmann::ordered_json json = {
      {"steps_done", status.steps_done}, {"steps", status.steps}, {"held_out", nullptr}};
  if (status.held_out) json["held_out"] = *status.held_out;
  return json;
}

nlohmann::ordered_json status_json(const RunStatus& status, const LossLog& losses) {
  nlohmann::ordered_json live = nlohmann::ordered_json::array();
  for (const LiveStatus& one : status.live) {
    live.push_back({{"block", one.block}, {"epoch", one.epoch}});
  }
  nlohmann::ordered_json json = {{"state", word_of(status.phase)},
                                 {"job", nullptr},
                                 {"tuning", nullptr},
                                 {"preprocess", nullptr},
                                 {"chain", nullptr},
                                 {"blocks_total", status.blocks_total},
                                 {"blocks_done", status.blocks_done},
                                 {"live", live},
                                 {"loss", nullptr},
                                 {"losses", loss_json(losses)},
                                 {"epoch_s", nullptr},
                                 {"eta_s", nullptr},
                                 {"kept_stream_bytes", status.kept_stream_bytes},
                                 {"holder", nullptr},
                                 {"starts_in_vain", status.starts_in_vain()},
                                 {"failure", status.failure},
                                 {"last_events", status.last_events}};
  if (!status.job.empty()) json["job"] = status.job;
  if (status.tuning) json["tuning"] = tuning_json(*status.tuning);
  if (status.preprocess) json["preprocess"] = preprocess_json(*status.preprocess);
  if (status.last_loss) json["loss"] = *status.last_loss;
  if (status.epoch_s) json["epoch_s"] = *status.epoch_s;
  if (status.eta_s) json["eta_s"] = *status.eta_s;
  if (status.holder) {
    const Holder& holder = status.holder->holder;
    json["holder"] = {{"host", holder.host},
                      {"pid", holder.pid},
                      {"job", holder.job},
                      {"released", status.holder->released},
                      {"outcome", status.holder->outcome}};
  }
  return json;
}

// The keys of a run, for the part that is being worked on; state, holder, failure and starts in
// vain are the chain's.
nlohmann::ordered_json chain_json(Files& files, const ChainStatus& status) {
  RunStatus run = status.run.value_or(RunStatus());
  run.phase = status.phase;
  run.failure = status.failure;
  run.holder = status.holder;
  if (run.job.empty() && status.current < status.parts.size()) {
    run.job = status.parts[status.current].name;
  }
  const LossLog losses = status.run ? read_loss_log(files, status.run_dir) : LossLog();
  nlohmann::ordered_json json = status_json(run, losses);
  json["starts_in_vain"] = status.starts_in_vain;
  nlohmann::ordered_json parts = nlohmann::ordered_json::array();
  for (const ChainPartStatus& part : status.parts) {
    parts.push_back({{"part", part.name},
                     {"done", part.done},
                     {"work_dir", part.work_dir},
                     {"output_dir", part.output_dir}});
  }
  json["chain"] = {{"parts", std::move(parts)},
                   {"current", nullptr},
                   {"measured", status.measured},
                   {"folders_to_measure", status.folders_to_measure}};
  if (status.current < status.parts.size()) {
    json["chain"]["current"] = status.parts[status.current].name;
  }
  return json;
}

// Of a run or a chain.
struct Standing {
  const RunPhase phase;
  const std::optional<HolderRecord>& holder;
  const std::string& failure;
  const int starts_in_vain;
};

// Ends with the exit code that a launcher should report for a job that ended without a message.
void judge(const std::string& work_dir, const Standing& status) {
  if (status.phase == RunPhase::done) return;
  BITMILL_CHECK(status.phase != RunPhase::running, Error,
                fmt::format("the run in {} is held by {}, which is alive", work_dir,
                            status.holder ? describe(status.holder->holder) : "a process"));
  BITMILL_CHECK(status.failure.empty(), Error,
                fmt::format("the run in {} failed: {}", work_dir, status.failure));
  BITMILL_CHECK(status.starts_in_vain < most_starts_in_vain, Error,
                fmt::format("the last {} starts of the run in {} ended without a new commit; look "
                            "into why before it is started again",
                            status.starts_in_vain, work_dir));
  throw StopError(
      fmt::format("the run in {} is not done; run the same command again to go on", work_dir));
}

class StatusCommand : public Command {
 public:
  StatusCommand(std::string work_dir, bool exit_status, std::string page, bool json)
      : work_dir_(std::move(work_dir)),
        exit_status_(exit_status),
        page_(std::move(page)),
        json_(json) {}

  void check(const CheckContext& context) override {
    check_curve_page(context.files, page_, {{"--work-dir", work_dir_}});
  }

  void run(RunContext& context) override {
    // A holder writes a beat every second: after three seconds without one it is not alive.
    const ClaimTiming timing{std::chrono::milliseconds(3000), std::chrono::milliseconds(100)};
    if (holds_chain(context.files, work_dir_)) {
      const ChainStatus chain = read_chain_status(context.files, work_dir_, timing);
      if (exit_status_) {
        return judge(work_dir_, {chain.phase, chain.holder, chain.failure, chain.starts_in_vain});
      }
      BITMILL_CHECK(
          page_.empty(), UsageError,
          fmt::format("--timeline draws the losses of preprocess or tune: give the work folder "
                      "of that part of the chain, within {}",
                      work_dir_));
      context.console.print(json_ ? json_line(chain_json(context.files, chain))
                                  : chain_status_table(chain));
      return;
    }
    const RunStatus status = read_status(context.files, work_dir_, timing);
    if (exit_status_) {
      return judge(work_dir_,
                   {status.phase, status.holder, status.failure, status.starts_in_vain()});
    }
    context.console.print(
        json_ ? json_line(status_json(status, read_loss_log(context.files, work_dir_)))
              : status_table(status));
    if (page_.empty()) return;
    BITMILL_CHECK(write_curve_page(context.files, page_, work_dir_), UsageError,
                  fmt::format("--timeline: no loss was logged in {}: only tune and preprocess log "
                              "them, at the end of an epoch or a twentieth of the steps",
                              work_dir_));
  }

 private:
  const std::string work_dir_;
  const bool exit_status_;
  const std::string page_;
  const bool json_;
};

}  // namespace

CommandEntry status_entry() {
  return {.name = "status",
          .summary = "show how far a run is, while it runs or afterwards",
          .about =
              "Reads the work folder of a run, while it runs or afterwards, and changes nothing. "
              "With --exit-status it exits as a launcher of that run should: 0 done, 75 worth "
              "running again, 1 failed for good or started several times without progress.",
          .usage = {"status --work-dir DIR [options]"},
          .example = "bitmill status --work-dir smol-packed.work",
          .positional = "work-dir",
          .options = {{"options",
                       {{"work-dir", "DIR", "", "the work folder of the run"},
                        {"exit-status", "", "", "say by the exit status what to do next"},
                        curve_option(),
                        json_option("the status")}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            settings.require({"work-dir"}, "status");
            return std::make_unique<StatusCommand>(
                settings.folder_or("work-dir", ""), settings.is_on("exit-status"),
                settings.text_or("timeline", ""), settings.is_on("json"));
          }};
}

}  // namespace bitmill
