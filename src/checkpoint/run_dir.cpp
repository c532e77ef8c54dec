#include "checkpoint/run_dir.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "checkpoint/hashed_tensors.hpp"

namespace bitmill {
namespace {

constexpr const char* fingerprint_name = "run.json";
constexpr const char* events_name = "blocks.jsonl";
constexpr const char* packed_folder = "blocks";
constexpr const char* live_folder = "live";
constexpr const char* done_name = "DONE";
constexpr std::string_view unfinished_suffix = ".new";  // written beside, not yet renamed

constexpr const char* block_key = "bitmill.block";
constexpr const char* turns_key = "bitmill.turns";
constexpr const char* epochs_key = "bitmill.epochs";
constexpr const char* steps_key = "bitmill.steps";

// What streams leave when a rank is killed between making and unlinking its scratch file, and what
// NFS shows of a file that was unlinked while it is open. They belong to no run.
bool is_scratch_file(std::string_view name) {
  return name.starts_with(".nfs") || (name.starts_with("streams-") && name.ends_with(".tmp"));
}

// "0003.safetensors", also while it is being written.
bool is_block_file(std::string_view name) {
  if (name.ends_with(unfinished_suffix)) name.remove_suffix(unfinished_suffix.size());
  constexpr std::string_view extension = ".safetensors";
  if (!name.ends_with(extension)) return false;
  name.remove_suffix(extension.size());
  return name.size() >= 4 && std::ranges::all_of(name, [](char c) { return '0' <= c && c <= '9'; });
}

bool is_run_file(std::string_view name) {
  if (name.ends_with(unfinished_suffix)) name.remove_suffix(unfinished_suffix.size());
  return name == fingerprint_name || name == events_name || name == done_name;
}

// The first entry of the folder that no run writes, relative to it; empty when there is none.
std::string find_foreign(Files& files, const std::string& path) {
  for (const std::string& name : files.list(path)) {
    const std::string entry = join_path(path, name);
    if (!files.is_directory(entry)) {
      if (!is_run_file(name) && !is_scratch_file(name)) return name;
      continue;
    }
    if (name != packed_folder && name != live_folder) return name;
    for (const std::string& inner : files.list(entry)) {
      const bool known = is_block_file(inner) || inner.starts_with(".nfs");
      if (!known || files.is_directory(join_path(entry, inner))) return join_path(name, inner);
    }
  }
  return "";
}

// Anything but leftovers of writing: run.json is written first and removed last but DONE, but
// people remove files too, and packed blocks are hours of work.
bool holds_run(Files& files, const std::string& path) {
  return std::ranges::any_of(files.list(path), [](const std::string& name) {
    return !name.ends_with(unfinished_suffix) && !is_scratch_file(name);
  });
}

int64_t count_packed(Files& files, const std::string& path) {
  const std::string folder = join_path(path, packed_folder);
  if (!files.exists(folder)) return 0;
  const auto names = files.list(folder);
  return std::ranges::count_if(names, [](const std::string& name) {
    return is_block_file(name) && !name.ends_with(unfinished_suffix);
  });
}

// What a run left. run.json and DONE go last: while the rest goes, they still say whether the run
// was finished.
void remove_run(Files& files, const std::string& path) {
  files.remove_tree(join_path(path, packed_folder));
  files.remove_tree(join_path(path, live_folder));
  for (const char* name : {events_name, fingerprint_name, done_name}) {
    const std::string file = join_path(path, name);
    for (const std::string& one : {file + std::string(unfinished_suffix), file}) {
      if (files.exists(one)) files.remove(one);
    }
  }
}

std::vector<std::byte> bytes_of(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

RunDir::RunDir(Files& files, const std::string& path) : files_(files), path_(path) {}

void RunDir::check(bool start_over) const {
  if (!files_.exists(path_)) return;
  BITMILL_CHECK(files_.is_directory(path_), UsageError,
                fmt::format("{} is a file; the work folder of a run must be a folder", path_));
  const std::string foreign = find_foreign(files_, path_);
  BITMILL_CHECK(foreign.empty(), UsageError,
                fmt::format("{} holds {}, which is not a run's; choose an empty or a new folder "
                            "with --work-dir",
                            path_, foreign));
  const bool finished = files_.exists(join_path(path_, done_name));
  BITMILL_CHECK(finished || start_over || !holds_run(files_, path_), UsageError,
                fmt::format("{} holds an unfinished run ({} blocks packed), and this version "
                            "cannot resume one; choose another --work-dir, or give "
                            "--resume=never to delete it and start over",
                            path_, count_packed(files_, path_)));
}

void RunDir::begin(const std::string& fingerprint_json, bool start_over) {
  check(start_over);
  if (files_.exists(path_)) remove_run(files_, path_);
  files_.make_directories(path_);
  files_.sync_directory(parent_path(path_));
  replace_file(files_, join_path(path_, fingerprint_name), fingerprint_json);
  files_.make_directories(join_path(path_, packed_folder));
  files_.make_directories(join_path(path_, live_folder));
  files_.sync_directory(path_);
}

void RunDir::append_event(const std::string& json_line) {
  assert(json_line.find('\n') == std::string::npos);
  // One write, so that a line is there or not.
  const std::string line = json_line + "\n";
  const auto events = files_.open_append(join_path(path_, events_name));
  events->append(std::as_bytes(std::span(line)));
  events->close();
}

void RunDir::write_packed(int block, const std::vector<TensorSource>& tensors) {
  write_hashed(files_, block_path(packed_folder, block), tensors,
               {{block_key, std::to_string(block)}});
}

SafetensorsFile RunDir::open_packed(int block) const { return open_block(packed_folder, block); }

void RunDir::write_live(const Progress& progress, const std::vector<StateVector>& vectors) {
  std::vector<TensorSource> tensors;
  for (const StateVector& vector : vectors) {
    tensors.push_back({vector.name, Dtype::float32, {std::ssize(vector.values)}, [&vector] {
                         return bytes_of(vector.values);
                       }});
  }
  write_hashed(files_, block_path(live_folder, progress.block), tensors,
               {{block_key, std::to_string(progress.block)},
                {turns_key, std::to_string(progress.turns)},
                {epochs_key, std::to_string(progress.epochs)},
                {steps_key, std::to_string(progress.steps)}});
}

Progress RunDir::read_live(int block, std::map<std::string, std::vector<float>>& vectors) const {
  const SafetensorsFile file = open_block(live_folder, block);
  std::map<std::string, std::vector<float>> found;
  for (const auto& [name, info] : file.tensors()) {
    BITMILL_CHECK(info.dtype == Dtype::float32, FormatError,
                  fmt::format("{}: vector \"{}\" must be F32, and is {}", file.path(), name,
                              info.dtype_text));
    std::vector<float> values(static_cast<size_t>(info.elements()));
    file.read(info, std::as_writable_bytes(std::span(values)));
    found.emplace(name, std::move(values));
  }
  const int64_t turns = metadata_count(file, turns_key);
  const int64_t epochs = metadata_count(file, epochs_key);
  const int64_t steps = metadata_count(file, steps_key);
  constexpr int64_t most = std::numeric_limits<int>::max();
  BITMILL_CHECK(turns <= most && epochs <= most, FormatError,
                fmt::format("{}: {} turns and {} epochs cannot be", file.path(), turns, epochs));
  vectors = std::move(found);
  return {block, static_cast<int>(turns), static_cast<int>(epochs), steps};
}

void RunDir::remove_live(int block) {
  const std::string path = block_path(live_folder, block);
  if (files_.exists(path)) files_.remove(path);
}

void RunDir::finish() {
  // First, so that a run without blocks is never taken for an unfinished one.
  replace_file(files_, join_path(path_, done_name), "done\n");
  files_.remove_tree(join_path(path_, packed_folder));
  files_.remove_tree(join_path(path_, live_folder));
}

void RunDir::abandon() noexcept {
  try {
    if (count_packed(files_, path_) > 0) return;
    remove_run(files_, path_);
    if (files_.list(path_).empty()) files_.remove_tree(path_);
  } catch (const std::exception&) {
    // The next start finds an unfinished run, and says so.
  }
}

std::string RunDir::block_path(const char* folder, int block) const {
  assert(block >= 0);
  return join_path(join_path(path_, folder), fmt::format("{:04}.safetensors", block));
}

SafetensorsFile RunDir::open_block(const char* folder, int block) const {
  SafetensorsFile file = open_hashed(files_, block_path(folder, block));
  const int64_t found = metadata_count(file, block_key);
  BITMILL_CHECK(found == block, FormatError,
                fmt::format("{} says that it is block {}", file.path(), found));
  return file;
}

}  // namespace bitmill
