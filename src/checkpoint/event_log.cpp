#include "checkpoint/event_log.hpp"

#include <fmt/format.h>

#include <cassert>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "base/error.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// `text` up to and with its last newline.
std::string_view whole_lines(std::string_view text) {
  const size_t last = text.rfind('\n');
  return last == text.npos ? std::string_view() : text.substr(0, last + 1);
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(whole_lines(text))};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Empty when there is no such file.
std::string text_or_nothing(Files& files, const std::string& path) {
  return files.exists(path) ? read_text(files, path) : "";
}

// The files of the other writers, sorted; empty where the folder is missing, as in a finished run.
std::vector<std::string> other_files(Files& files, const std::string& folder) {
  std::vector<std::string> paths;
  if (!files.exists(folder)) return paths;
  for (const std::string& name : files.list(folder)) {
    if (name.ends_with(".jsonl")) paths.push_back(join_path(folder, name));
  }
  return paths;
}

// Of `lines`, those that `there` does not have. Adds them to `there`.
std::vector<std::string> new_lines(const std::vector<std::string>& lines,
                                   std::set<std::string>& there) {
  std::vector<std::string> fresh;
  for (const std::string& line : lines) {
    if (there.insert(line).second) fresh.push_back(line);
  }
  return fresh;
}

}  // namespace

EventLog::EventLog(Files& files, Claim& claim, int writer)
    : files_(files), claim_(claim), writer_(writer) {}

std::string EventLog::shared_path() const { return join_path(claim_.work_dir(), layout::events); }

std::string EventLog::folder() const {
  return join_path(claim_.state_path(), layout::other_events);
}

// One write, so that a line is there as a whole or not at all.
void EventLog::write(const std::string& path, const std::string& text) {
  claim_.check();
  const bool is_new = !files_.exists(path);
  const auto file = files_.open_append(path);
  file->append(std::as_bytes(std::span(text)));
  file->sync();
  file->close();
  if (is_new) files_.sync_directory(parent_path(path));
}

void EventLog::append(const std::string& json_line) {
  assert(json_line.find('\n') == std::string::npos);
  const std::string path =
      writer_ == 0 ? shared_path() : join_path(folder(), fmt::format("{:04}.jsonl", writer_));
  write(path, json_line + "\n");
}

void EventLog::collect() {
  assert(writer_ == 0);
  std::string fresh;
  std::map<std::string, int64_t> collected = collected_;
  for (const std::string& path : other_files(files_, folder())) {
    const auto file = files_.open(path);
    int64_t& from = collected[path];
    if (file->size() <= from) continue;
    std::string text(static_cast<size_t>(file->size() - from), '\0');
    file->read(from, std::as_writable_bytes(std::span(text)));
    const std::string_view whole = whole_lines(text);
    fresh += whole;
    from += std::ssize(whole);
  }
  if (fresh.empty()) return;
  write(shared_path(), fresh);
  collected_ = std::move(collected);
}

void EventLog::take_over(const std::vector<std::string>& lines) {
  assert(writer_ == 0);
  const std::vector<std::string> left = other_files(files_, folder());
  const std::string text = text_or_nothing(files_, shared_path());
  const std::vector<std::string> known = lines_of(text);
  std::set<std::string> there(known.begin(), known.end());
  std::string missing = text.empty() || text.ends_with('\n') ? "" : "\n";
  const auto add = [&](const std::vector<std::string>& more) {
    for (const std::string& line : new_lines(more, there)) missing += line + "\n";
  };
  for (const std::string& path : left) add(lines_of(read_text(files_, path)));
  add(lines);
  if (!missing.empty()) write(shared_path(), missing);
  for (const std::string& path : left) files_.remove(path);
}

std::set<int> EventLog::packed_blocks() const {
  std::set<int> blocks;
  for (const std::string& line : lines_of(text_or_nothing(files_, shared_path()))) {
    const json event = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object() || event.value("event", json()) != "packed") continue;
    const json block = event.value("block", json());
    if (block.is_number_integer()) blocks.insert(block.get<int>());
  }
  return blocks;
}

std::vector<std::string> read_events(Files& files, const std::string& work_dir) {
  std::vector<std::string> all =
      lines_of(text_or_nothing(files, join_path(work_dir, layout::events)));
  const auto state = find_state(files, work_dir);
  if (!state) return all;
  std::set<std::string> there(all.begin(), all.end());
  for (const std::string& path : other_files(files, join_path(state->path, layout::other_events))) {
    for (std::string& line : new_lines(lines_of(text_or_nothing(files, path)), there)) {
      all.push_back(std::move(line));
    }
  }
  return all;
}

}  // namespace bitmill
