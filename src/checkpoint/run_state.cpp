#include "checkpoint/run_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Files that belong to no run. A rank leaves its scratch file of streams behind when it is killed
// before it can unlink the file. NFS shows a ".nfs" name for a file that was unlinked while open.
bool is_scratch_file(std::string_view name) {
  return name.starts_with(".nfs") || (name.starts_with("streams-") && name.ends_with(".tmp"));
}

bool is_run_file(std::string_view name) {
  return name == layout::events || name == layout::trouble ||
         name == layout::trouble_being_written || name.starts_with("new-") ||
         name.starts_with("state-");
}

// Version 1 kept its files in the run folder itself, without a state folder.
bool is_of_version_1(Files& files, const std::string& work_dir) {
  return files.exists(join_path(work_dir, layout::record)) &&
         !find_state(files, work_dir).has_value();
}

void check_names(Files& files, const std::string& work_dir) {
  BITMILL_CHECK(files.is_directory(work_dir), UsageError,
                fmt::format("{} is a file; the work folder of a run must be a folder", work_dir));
  BITMILL_CHECK(
      !is_of_version_1(files, work_dir), UsageError,
      fmt::format("{} is a run folder of version 1, which bitmill 0.1 left and this bitmill "
                  "(version {}) cannot go on with; finish it with that one, remove it, or give "
                  "another --work-dir",
                  work_dir, run_dir_version));
  for (const std::string& name : files.list(work_dir)) {
    BITMILL_CHECK(
        is_run_file(name) || is_scratch_file(name), UsageError,
        fmt::format("{} holds {}, which belongs to no run; choose an empty or a new folder "
                    "with --work-dir",
                    work_dir, name));
  }
}

void check_key(const SafetensorsFile& file, const char* key, int64_t expected) {
  const int64_t found = metadata_count(file, key);
  BITMILL_CHECK(found == expected, FormatError,
                fmt::format("{} says that its {} is {}", file.path(), key, found));
}

Progress read_progress(const SafetensorsFile& file, int block) {
  const int64_t epochs = metadata_count(file, layout::epochs_key);
  BITMILL_CHECK(epochs <= std::numeric_limits<int>::max(), FormatError,
                fmt::format("{}: {} epochs are impossible", file.path(), epochs));
  return {block, static_cast<int>(epochs), metadata_count(file, layout::steps_key)};
}

}  // namespace

RunState::RunState(Files& files, std::string path) : files_(files), path_(std::move(path)) {}

bool RunState::has_record() const { return files_.exists(join_path(path_, layout::record)); }

RunRecord RunState::record() const {
  const std::string path = join_path(path_, layout::record);
  const json content = read_hashed_json(files_, path);
  const int64_t found = json_int(content, "run_dir_version", path);
  BITMILL_CHECK(found == run_dir_version, FormatError,
                fmt::format("{}: a run folder of version {}, and this bitmill reads version {}; "
                            "go on with the bitmill that began it ({})",
                            path, found, run_dir_version,
                            json_string_or(content, "bitmill", "unknown", path)));
  RunRecord record;
  const json fingerprint = content.value("fingerprint", json());
  BITMILL_CHECK(fingerprint.is_object(), FormatError, path + ": \"fingerprint\" must be an object");
  record.fingerprint_json = fingerprint.dump();
  for (const json& name : content.value("numerics_classes", json::array())) {
    BITMILL_CHECK(name.is_string(), FormatError,
                  path + ": \"numerics_classes\" must be a list of names");
    record.numerics_classes.push_back(name.get<std::string>());
  }
  return record;
}

bool RunState::is_done() const { return files_.exists(join_path(path_, layout::done)); }

bool RunState::has_packed_blocks() const {
  const std::string folder = join_path(path_, layout::packed);
  if (!files_.exists(folder)) return false;
  const auto names = files_.list(folder);
  return std::ranges::any_of(
      names, [](const std::string& name) { return name.ends_with(".safetensors"); });
}

bool RunState::has_packed(int block, int turn) const {
  return files_.exists(packed_path(block, turn));
}

SafetensorsFile RunState::open_packed(int block, int turn) const {
  SafetensorsFile file = open_hashed(files_, packed_path(block, turn));
  check_key(file, layout::block_key, block);
  check_key(file, layout::turn_key, turn);
  return file;
}

std::string RunState::recorded_content(int block, int turn) const {
  const std::string path =
      has_set_aside(block, turn) ? set_aside_path(block, turn) : packed_path(block, turn);
  return read_content_hash(files_, path);
}

bool RunState::has_live(int block) const { return files_.exists(live_path(block)); }

Progress RunState::live_progress(int block) const {
  const SafetensorsFile file = open_header(files_, live_path(block));
  check_key(file, layout::block_key, block);
  return read_progress(file, block);
}

SavedBlock RunState::open_live(int block) const {
  SafetensorsFile file = open_hashed(files_, live_path(block));
  check_key(file, layout::block_key, block);
  const Progress progress = read_progress(file, block);
  return {progress, std::move(file)};
}

SafetensorsFile RunState::open_part(int part, int64_t steps) const {
  SafetensorsFile file = open_hashed(files_, part_path(part, steps));
  check_key(file, layout::block_key, part);
  check_key(file, layout::steps_key, steps);
  return file;
}

bool RunState::has_set_aside(int block, int turn) const {
  return files_.exists(set_aside_path(block, turn));
}

bool RunState::has_source(int block) const { return files_.exists(source_path(block)); }

TensorHashes RunState::source(int block) const {
  const std::string path = source_path(block);
  const json content = read_hashed_json(files_, path);
  TensorHashes hashes;
  for (const auto& [name, hash] : content.items()) {
    hashes[name] = json_string(content, name.c_str(), path);
  }
  return hashes;
}

std::string RunState::packed_path(int block, int turn) const {
  assert(block >= 0 && turn >= 0);
  return join_path(join_path(path_, layout::packed),
                   fmt::format("{:04}.{}.safetensors", block, turn));
}

std::string RunState::live_path(int block) const {
  assert(block >= 0);
  return join_path(join_path(path_, layout::live), fmt::format("{:04}.safetensors", block));
}

std::string RunState::part_path(int part, int64_t steps) const {
  assert(part >= 0 && steps >= 0);
  return join_path(join_path(path_, layout::parts),
                   fmt::format("{:04}.{}.safetensors", part, steps));
}

std::string RunState::set_aside_path(int block, int turn) const {
  return join_path(join_path(path_, layout::set_aside),
                   fmt::format("{:04}.{}.safetensors", block, turn));
}

std::string RunState::source_path(int block) const {
  return join_path(join_path(path_, layout::sources),
                   block == outside_blocks ? "outside.json" : fmt::format("{:04}.json", block));
}

std::optional<BlockName> parse_block_name(const std::string& name) {
  BlockName parsed;
  const char* const end = name.data() + name.size();
  auto [at, error] = std::from_chars(name.data(), end, parsed.block);
  if (error != std::errc() || at == end || *at != '.') return std::nullopt;
  std::from_chars(at + 1, end, parsed.number);
  if (parsed.block < 0 || parsed.number < 0) return std::nullopt;
  return parsed;
}

Occupancy inspect_work_dir(Files& files, const std::string& work_dir) {
  if (!files.exists(work_dir)) return Occupancy::nothing;
  check_names(files, work_dir);
  const auto found = find_state(files, work_dir);
  if (!found) return Occupancy::nothing;
  const RunState state(files, found->path);
  if (state.is_done()) return Occupancy::finished;
  // A run writes run.json before any block, so it should decide alone. But users remove files, and
  // packed blocks are hours of work: they count as a run, too.
  return state.has_record() || state.has_packed_blocks() ? Occupancy::unfinished
                                                         : Occupancy::nothing;
}

}  // namespace bitmill
