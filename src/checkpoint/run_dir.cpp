#include "checkpoint/run_dir.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/stopwatch.hpp"
#include "base/version.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

bool is_unfinished_name(const std::string& name) { return name.find(".new-") != std::string::npos; }

// The content's hash of the file that was set aside; empty when there is none. Also empty when it
// cannot be read: users set a block aside because it is damaged.
std::string kept_hash(const RunState& state, int block, int turn) {
  if (!state.has_set_aside(block, turn)) return "";
  try {
    return state.recorded_content(block, turn);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

RunDir::RunDir(Files& files, Claim& claim, int writer)
    : files_(files),
      claim_(claim),
      state_(files, claim.state_path()),
      events_(files, claim, writer) {}

std::string RunDir::in_state(const char* name) const { return join_path(state_.path(), name); }

void RunDir::remove_if_there(const std::string& path) {
  if (files_.exists(path)) files_.remove(path);
}

void RunDir::remove_unfinished(const std::string& folder) {
  for (const std::string& name : files_.list(folder)) {
    if (is_unfinished_name(name)) files_.remove(join_path(folder, name));
  }
}

void RunDir::make_folders() {
  for (const char* folder : layout::folders) {
    files_.make_directories(in_state(folder));
  }
  files_.sync_directory(state_.path());
}

// Removes run.json and DONE last: while the rest is removed, they still say whether the run was
// finished.
void RunDir::remove_all() {
  for (const char* folder : layout::folders) {
    files_.remove_tree(in_state(folder));
  }
  remove_if_there(join_path(claim_.work_dir(), layout::events));
  for (const char* name : {layout::failure, layout::record, layout::done}) {
    remove_if_there(in_state(name));
  }
}

void RunDir::begin(const RunRecord& record) {
  claim_.check();
  remove_all();
  resume();
  replace_record(record);
}

void RunDir::resume() {
  claim_.check();
  make_folders();
  remove_unfinished(state_.path());
  for (const char* folder : layout::folders) remove_unfinished(in_state(folder));
  for (const std::string& name : files_.list(claim_.work_dir())) {
    if (name.starts_with("new-")) files_.remove_tree(join_path(claim_.work_dir(), name));
  }
  remove_if_there(in_state(layout::failure));
  for (const char* name : {layout::trouble, layout::trouble_being_written}) {
    remove_if_there(join_path(claim_.work_dir(), name));
  }
  events_.take_over(events_of_live());
}

void RunDir::replace_record(const RunRecord& record) {
  claim_.check();
  const std::string path = in_state(layout::record);
  write_hashed_json(files_, path, claim_.beside(path),
                    {{"run_dir_version", run_dir_version},
                     {"bitmill", std::string(version)},
                     {"fingerprint", json::parse(record.fingerprint_json)},
                     {"numerics_classes", record.numerics_classes}});
}

// The line of the last finished epoch of every live block. A damaged file has none; whoever takes
// stock reports it.
std::vector<std::string> RunDir::events_of_live() const {
  std::vector<std::string> lines;
  for (const std::string& name : files_.list(in_state(layout::live))) {
    try {
      const SafetensorsFile file = open_header(files_, join_path(in_state(layout::live), name));
      const auto event = file.metadata().find(layout::event_key);
      if (event != file.metadata().end()) lines.push_back(event->second);
    } catch (const Error&) {
    }
  }
  return lines;
}

void RunDir::write_live(const Progress& progress, const std::vector<TensorSource>& tensors,
                        const std::string& event) {
  const TimedScope timed(seconds_writing_);
  claim_.check();
  const std::string path = state_.live_path(progress.block);
  std::map<std::string, std::string> metadata = {
      {layout::block_key, std::to_string(progress.block)},
      {layout::epochs_key, std::to_string(progress.epochs)},
      {layout::steps_key, std::to_string(progress.steps)}};
  if (!event.empty()) metadata[layout::event_key] = event;
  write_hashed(files_, path, claim_.beside(path), tensors, hash_content(tensors), metadata);
  count_live(tensors);
}

void RunDir::count_live(const std::vector<TensorSource>& tensors) {
  int64_t bytes = 0;
  for (const TensorSource& tensor : tensors) bytes += tensor.bytes();
  live_bytes_.largest = std::max(live_bytes_.largest, bytes);
  live_bytes_.written += bytes;
}

void RunDir::write_part(int part, int64_t steps, const std::vector<TensorSource>& tensors) {
  const TimedScope timed(seconds_writing_);
  claim_.check();
  const std::string path = state_.part_path(part, steps);
  write_hashed(
      files_, path, claim_.beside(path), tensors, hash_content(tensors),
      {{layout::block_key, std::to_string(part)}, {layout::steps_key, std::to_string(steps)}});
  count_live(tensors);
}

void RunDir::remove_parts(int64_t least, int64_t most) {
  claim_.check();
  for (const std::string& name : files_.list(in_state(layout::parts))) {
    const auto key = parse_block_name(name);
    if (is_unfinished_name(name) || !key) continue;
    if (least <= key->number && key->number <= most) continue;
    files_.remove(join_path(in_state(layout::parts), name));
  }
}

std::string RunDir::write_packed(int block, int turn, bool last,
                                 const std::vector<TensorSource>& tensors) {
  const TimedScope timed(seconds_writing_);
  claim_.check();
  const ContentHashes hashes = hash_content(tensors);
  const std::string kept = kept_hash(state_, block, turn);
  BITMILL_CHECK(kept.empty() || kept == hashes.content, Error,
                fmt::format("block {}, turn {}, was built again with another content: {} was "
                            "recorded and {} came out. The file that was set aside is kept as {}. "
                            "Another machine, or memory that fails, can do this; check the "
                            "machine, or start over with --resume never",
                            block, turn, kept, hashes.content, state_.set_aside_path(block, turn)));
  const std::string path = state_.packed_path(block, turn);
  write_hashed(
      files_, path, claim_.beside(path), tensors, hashes,
      {{layout::block_key, std::to_string(block)}, {layout::turn_key, std::to_string(turn)}});
  remove_if_there(state_.set_aside_path(block, turn));
  if (last) remove_if_there(state_.live_path(block));
  return hashes.content;
}

void RunDir::set_aside(int block, int turns) {
  claim_.check();
  remove_if_there(state_.live_path(block));
  // Begins with the last turn: if the loop is interrupted, the turns [0, n) are left, without a
  // gap.
  for (int turn = turns - 1; turn >= 0; --turn) {
    if (!state_.has_packed(block, turn)) continue;
    files_.rename(state_.packed_path(block, turn), state_.set_aside_path(block, turn));
  }
  files_.sync_directory(in_state(layout::set_aside));
  files_.sync_directory(in_state(layout::packed));
}

void RunDir::check_source(int block, const TensorHashes& hashes) const {
  if (!state_.has_source(block)) return;
  const TensorHashes kept = state_.source(block);
  for (const auto& [name, hash] : hashes) {
    const auto there = kept.find(name);
    BITMILL_CHECK(
        there != kept.end() && there->second == hash, UsageError,
        fmt::format("the run in {} was begun with other weights: tensor \"{}\" hashed to {} there "
                    "and hashes to {} here; give the model it was begun with, or --resume never to "
                    "discard it",
                    claim_.work_dir(), name, there == kept.end() ? "nothing" : there->second,
                    hash));
  }
}

void RunDir::keep_source(int block, const TensorHashes& hashes) {
  claim_.check();
  check_source(block, hashes);
  if (state_.has_source(block)) return;
  const std::string path = state_.source_path(block);
  write_hashed_json(files_, path, claim_.beside(path), json(hashes));
}

double RunDir::rehearse_save(int64_t bytes) {
  claim_.check();
  // The name is that of an unfinished file: after a crash the next start removes it.
  const std::string path = claim_.beside(join_path(in_state(layout::live), "rehearsal"));
  const auto produce = [bytes](const ByteSink& sink) {
    sink(std::vector<std::byte>(static_cast<size_t>(bytes), std::byte{0x5a}));
  };
  const std::vector<TensorSource> tensors = {{"rehearsal", Dtype::uint8, {bytes}, produce}};
  double seconds = 0;
  {
    const TimedScope timed(seconds);
    write_hashed(files_, path, claim_.beside(path), tensors, hash_content(tensors), {});
  }
  open_hashed(files_, path);
  files_.remove(path);
  return seconds;
}

// Throws when the folder cannot be read: the files may be there even so.
bool RunDir::holds_files(const char* folder) const {
  const std::vector<std::string> folders = files_.list(state_.path());
  if (std::ranges::find(folders, folder) == folders.end()) return false;
  return !std::ranges::all_of(files_.list(in_state(folder)), is_unfinished_name);
}

json RunDir::settings_if_known() const {
  try {
    if (state_.has_record()) return json::parse(state_.record().fingerprint_json);
  } catch (const Error&) {
    // The record is damaged: the next start reports it.
  }
  return {};
}

void RunDir::finish() {
  claim_.check();
  events_.collect();
  // DONE is written first. Without it, a run whose blocks are removed would look unfinished.
  const std::string done = in_state(layout::done);
  write_hashed_json(files_, done, claim_.beside(done), json::object());
  for (const char* folder : layout::folders) {
    files_.remove_tree(in_state(folder));
  }
}

void RunDir::abandon(const std::string& why) noexcept {
  try {
    claim_.check();
    if (state_.is_done()) return;  // only its clean-up failed
    const bool committed =
        state_.has_packed_blocks() || holds_files(layout::live) || holds_files(layout::set_aside);
    const json settings = settings_if_known();
    if (!committed) remove_all();
    const std::string path = in_state(layout::failure);
    write_hashed_json(files_, path, claim_.beside(path),
                      {{"error", why}, {"fingerprint", settings}});
  } catch (const std::exception&) {
    // Ignored: the next start works with what is in the folder.
  }
}

RunFailure read_failure(const RunState& state) {
  const std::string path = join_path(state.path(), layout::failure);
  if (!state.files().exists(path)) return {};
  const json content = read_hashed_json(state.files(), path);
  return {json_string(content, "error", path), content.value("fingerprint", json()).dump()};
}

}  // namespace bitmill
