#include "cli/report/status_table.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

constexpr size_t few_events = 3;  // the JSON has more

void add_blocks(const RunStatus& status, Table& table) {
  table.add_row(
      {"blocks", fmt::format("{} of {} packed", status.blocks_done, status.blocks_total)});
  for (const LiveStatus& live : status.live) {
    table.add_row({"live", fmt::format("block {}: {} committed", live.block,
                                       format_number_of("epoch", live.epoch))});
  }
  if (status.last_loss) table.add_row({"last loss", fmt::format("{:.4g}", *status.last_loss)});
}

void add_tuning(const RunStatus& status, Table& table) {
  if (!status.tuning) return;
  const TuningStatus& tuning = *status.tuning;
  std::string text = fmt::format("epoch {} of at most {}", tuning.epochs_done, tuning.epochs_most);
  if (tuning.held_out_kl) text += fmt::format(" · held-out KL {:.4g} nats", *tuning.held_out_kl);
  table.add_row({"tuning", text});
  if (status.last_loss) {
    table.add_row({"training KL", fmt::format("{:.4g} nats", *status.last_loss)});
  }
}

void add_preprocess(const RunStatus& status, Table& table) {
  if (!status.preprocess) return;
  const PreprocessStatus& training = *status.preprocess;
  std::string text = fmt::format("step {} of {}", training.steps_done, training.steps);
  if (training.held_out) text += fmt::format(" · held-out loss {:.4g} nats", *training.held_out);
  table.add_row({"training", text});
  if (status.last_loss) {
    table.add_row({"training loss", fmt::format("{:.4g} nats", *status.last_loss)});
  }
}

}  // namespace

const char* word_of(RunPhase phase) {
  switch (phase) {
    case RunPhase::running:
      return "running";
    case RunPhase::stopped:
      return "stopped";
    case RunPhase::failed:
      return "failed";
    case RunPhase::done:
      return "done";
  }
  return "unknown";
}

std::string status_table(const RunStatus& status) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  const bool tunes = status.job == "tune";
  table.add_row({"state", word_of(status.phase)});
  if (tunes) {
    add_tuning(status, table);
  } else if (status.job == "preprocess") {
    add_preprocess(status, table);
  } else {
    add_blocks(status, table);
  }
  if (status.epoch_s)
    table.add_row({"pace", format_seconds(*status.epoch_s) +
                               (status.preprocess ? " a measurement" : " an epoch")});
  if (status.eta_s) {
    table.add_row(
        {"work left", (tunes ? "at most about " : "about ") + format_seconds(*status.eta_s)});
  }
  if (status.kept_stream_bytes > 0) {
    table.add_row({"kept streams", format_bytes(status.kept_stream_bytes) +
                                       ", with which a start need not replay what is packed"});
  }
  if (status.holder) {
    table.add_row({"holder", describe(status.holder->holder)});
    if (!status.holder->outcome.empty()) table.add_row({"outcome", status.holder->outcome});
    if (status.starts_in_vain() > 0) {
      table.add_row({"starts in vain", fmt::format("{}", status.starts_in_vain())});
    }
  }
  if (!status.failure.empty()) table.add_row({"failure", status.failure});
  const size_t few = std::min<size_t>(few_events, status.last_events.size());
  for (size_t i = 0; i < few; ++i) {
    table.add_row(
        {i == 0 ? "last events" : "", status.last_events[status.last_events.size() - few + i]});
  }
  return table.text();
}

}  // namespace bitmill
