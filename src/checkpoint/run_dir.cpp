#include "checkpoint/run_dir.hpp"

#include <fmt/format.h>

#include <cassert>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/version.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

std::vector<std::byte> bytes_of(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

bool is_unfinished_name(const std::string& name) { return name.find(".new-") != std::string::npos; }

// A kept hash that cannot be read is no reason to stop: the block was damaged, after all.
std::string kept_hash(const RunState& state, int block, int turn) {
  if (!state.has_set_aside(block, turn)) return "";
  try {
    return state.recorded_content(block, turn);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

RunDir::RunDir(Files& files, Claim& claim)
    : files_(files), claim_(claim), state_(files, claim.state_path()) {}

std::string RunDir::in_state(const char* name) const { return join_path(state_.path(), name); }

void RunDir::remove_if_there(const std::string& path) {
  if (files_.exists(path)) files_.remove(path);
}

void RunDir::make_folders() {
  for (const char* folder : {layout::packed, layout::live, layout::set_aside}) {
    files_.make_directories(in_state(folder));
  }
  files_.sync_directory(state_.path());
}

// run.json and DONE go last: while the rest goes, they still say whether the run was finished.
void RunDir::remove_all() {
  for (const char* folder : {layout::packed, layout::live, layout::set_aside}) {
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
  for (const char* folder : {"", layout::packed, layout::live, layout::set_aside}) {
    const std::string path = in_state(folder);
    for (const std::string& name : files_.list(path)) {
      if (is_unfinished_name(name)) files_.remove(join_path(path, name));
    }
  }
  for (const std::string& name : files_.list(claim_.work_dir())) {
    if (name.starts_with("new-")) files_.remove_tree(join_path(claim_.work_dir(), name));
  }
  remove_if_there(in_state(layout::failure));
}

void RunDir::replace_record(const RunRecord& record) {
  claim_.check();
  const std::string path = in_state(layout::record);
  write_hashed_json(files_, path, claim_.beside(path),
                    {{"run_dir_version", run_dir_version},
                     {"bitmill", std::string(version)},
                     {"fingerprint", json::parse(record.fingerprint_json)},
                     {"source_hash", record.source_hash},
                     {"numerics_classes", record.numerics_classes}});
}

void RunDir::append_event(const std::string& json_line) {
  assert(json_line.find('\n') == std::string::npos);
  // One write, so that a line is there or not.
  const std::string line = json_line + "\n";
  const auto events = files_.open_append(join_path(claim_.work_dir(), layout::events));
  events->append(std::as_bytes(std::span(line)));
  events->close();
}

std::set<int> RunDir::packed_events() const {
  std::set<int> blocks;
  const std::string path = join_path(claim_.work_dir(), layout::events);
  if (!files_.exists(path)) return blocks;
  std::istringstream lines(read_text(files_, path));
  for (std::string line; std::getline(lines, line);) {
    const json event = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (event.is_object() && event.value("event", "") == "packed" && event.contains("block")) {
      blocks.insert(event["block"].get<int>());
    }
  }
  return blocks;
}

void RunDir::write_live(const Progress& progress, const std::vector<StateVector>& vectors) {
  claim_.check();
  std::vector<TensorSource> tensors;
  for (const StateVector& vector : vectors) {
    tensors.push_back({vector.name, Dtype::float32, {std::ssize(vector.values)}, [&vector] {
                         return bytes_of(vector.values);
                       }});
  }
  const std::string path = state_.live_path(progress.block);
  write_hashed(files_, path, claim_.beside(path), tensors, hash_content(tensors),
               {{layout::block_key, std::to_string(progress.block)},
                {layout::epochs_key, std::to_string(progress.epochs)},
                {layout::steps_key, std::to_string(progress.steps)}});
}

std::string RunDir::write_packed(int block, int turn, bool last,
                                 const std::vector<TensorSource>& tensors) {
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
  // The last turn first: what is left, should we be interrupted, are turns that were built in
  // order.
  for (int turn = turns - 1; turn >= 0; --turn) {
    if (!state_.has_packed(block, turn)) continue;
    files_.rename(state_.packed_path(block, turn), state_.set_aside_path(block, turn));
  }
  files_.sync_directory(in_state(layout::set_aside));
  files_.sync_directory(in_state(layout::packed));
}

void RunDir::finish() {
  claim_.check();
  // First, so that a run without blocks is never taken for an unfinished one.
  const std::string done = in_state(layout::done);
  write_hashed_json(files_, done, claim_.beside(done), json::object());
  for (const char* folder : {layout::packed, layout::live, layout::set_aside}) {
    files_.remove_tree(in_state(folder));
  }
}

void RunDir::abandon(const std::string& why) noexcept {
  try {
    claim_.check();
    const bool committed =
        state_.has_packed_blocks() || !files_.list(in_state(layout::live)).empty();
    if (!committed) remove_all();
    const std::string path = in_state(layout::failure);
    write_hashed_json(files_, path, claim_.beside(path), {{"error", why}});
  } catch (const std::exception&) {
    // The next start finds what there is.
  }
}

std::string read_failure(const RunState& state) {
  const std::string path = join_path(state.path(), layout::failure);
  if (!state.files().exists(path)) return "";
  return json_string(read_hashed_json(state.files(), path), "error", path);
}

}  // namespace bitmill
