#include "checkpoint/claim.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr std::string_view state_prefix = "state-";
constexpr int64_t longest_beat = 32;            // bytes: a number of 64 bits
constexpr int64_t most_starts = 1'000'000'000;  // one a second, for thirty years

std::string state_name(int generation) { return fmt::format("{}{:04}", state_prefix, generation); }

// The generation in a state folder's name; 0 for any other name, and for one without a successor.
int generation_of(const std::string& name) {
  if (!name.starts_with(state_prefix)) return 0;
  const char* const begin = name.data() + state_prefix.size();
  const char* const end = name.data() + name.size();
  int generation = 0;
  const auto [rest, error] = std::from_chars(begin, end, generation);
  const bool whole = error == std::errc() && rest == end && generation > 0 &&
                     generation < std::numeric_limits<int>::max();
  return whole && state_name(generation) == name ? generation : 0;
}

// The text of the counter. Empty when it cannot be read: that does not count as a beat.
std::string read_beat(Files& files, const std::string& state_path) {
  try {
    return read_text(files, join_path(state_path, layout::beat), longest_beat);
  } catch (const Error&) {
    return "";
  }
}

struct Watched {
  bool alive = false;
  double silent_s = 0;  // seconds since the last beat that was seen, or since watching began
};

// Once is not enough: the first look may show an old counter that this host still remembered, or
// none while the folder's server changed, and the next one the last beat of a dead holder.
constexpr int moves_of_the_living = 2;

// Watches the counter until it has moved so often, but at most until it was silent for
// timing.stale_after.
Watched watch(Files& files, const std::string& state_path, const ClaimTiming& timing) {
  std::string seen = read_beat(files, state_path);
  int moves = 0;
  SteadyClock::duration silent{};
  while (silent < timing.stale_after) {
    const auto begin = SteadyClock::now();
    std::this_thread::sleep_for(timing.poll);
    const std::string now = read_beat(files, state_path);
    if (now != seen && !now.empty()) {
      if (!seen.empty() && ++moves == moves_of_the_living) return {true, 0};
      seen = now;
      silent = {};
      continue;
    }
    if (!files.exists(state_path)) return {true, 0};  // somebody else has taken it over
    silent += std::min<SteadyClock::duration>(SteadyClock::now() - begin,
                                              timing.poll + timing.longest_look);
  }
  return {false, std::chrono::duration<double>(silent).count()};
}

[[noreturn]] void refuse(const std::string& work_dir, const std::optional<HolderRecord>& record,
                         double silent_s) {
  throw UsageError(fmt::format(
      "{} is held by another run: {}, whose last beat was seen {:.1f} s ago; wait until it is "
      "done, stop it, or give another --work-dir",
      work_dir, record ? describe(record->holder) : "an unnamed process", silent_s));
}

// Throws the error for the case that another taker was faster.
[[noreturn]] void refuse_to_winner(Files& files, const std::string& work_dir) {
  const auto winner = find_state(files, work_dir);
  refuse(work_dir, winner ? read_holder(files, winner->path) : std::nullopt, 0);
}

}  // namespace

std::optional<StateFolder> find_state(Files& files, const std::string& work_dir) {
  if (!files.exists(work_dir)) return std::nullopt;
  int highest = 0;
  for (const std::string& name : files.list(work_dir)) {
    highest = std::max(highest, generation_of(name));
  }
  if (highest == 0) return std::nullopt;
  return StateFolder{highest, join_path(work_dir, state_name(highest))};
}

std::optional<HolderRecord> read_holder(Files& files, const std::string& state_path) {
  const std::string path = join_path(state_path, layout::holder);
  try {
    const json content = read_hashed_json(files, path);
    HolderRecord record;
    record.holder = holder_from_json(content.value("holder", json::object()), path);
    record.released = json_bool_or(content, "released", false, path);
    record.outcome = json_string_or(content, "outcome", "", path);
    const int64_t starts = json_int(content, "starts_without_commit", path);
    BITMILL_CHECK(0 <= starts && starts <= most_starts, FormatError,
                  fmt::format("{}: {} starts without a commit are impossible", path, starts));
    record.starts_without_commit = static_cast<int>(starts);
    record.steps_at_start = json_int(content, "steps_at_start", path);
    return record;
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool is_alive(Files& files, const std::string& state_path, const ClaimTiming& timing) {
  return watch(files, state_path, timing).alive;
}

Claim::Claim(Files& files, std::string work_dir, const Holder& me)
    : files_(files), work_dir_(std::move(work_dir)) {
  record_.holder = me;
}

std::unique_ptr<Claim> Claim::take(Files& files, const std::string& work_dir, const Holder& me,
                                   const ClaimTiming& timing,
                                   const std::function<void(const std::string&)>& say) {
  files.make_directories(work_dir);
  std::unique_ptr<Claim> claim(new Claim(files, work_dir, me));
  const auto found = find_state(files, work_dir);
  if (!found) {
    if (!claim->make_first(1)) refuse_to_winner(files, work_dir);
    return claim;
  }
  const auto record = read_holder(files, found->path);
  const bool free = record && (record->released || is_gone(record->holder));
  if (!free) {
    say(fmt::format("{} is held by {}: watching for up to {:.0f} s whether it is alive", work_dir,
                    record ? describe(record->holder) : "an unnamed process",
                    std::chrono::duration<double>(timing.stale_after).count()));
    const Watched watched = watch(files, found->path, timing);
    if (watched.alive) refuse(work_dir, record, watched.silent_s);
  }
  claim->predecessor_ = record;
  if (!claim->take_over(*found)) refuse_to_winner(files, work_dir);
  return claim;
}

std::unique_ptr<Claim> Claim::join(Files& files, const std::string& work_dir, const Pass& pass) {
  Holder holder;
  holder.token = pass.token;
  std::unique_ptr<Claim> claim(new Claim(files, work_dir, holder));
  claim->generation_ = pass.generation;
  claim->state_path_ = join_path(work_dir, state_name(pass.generation));
  claim->check();
  return claim;
}

// Makes the folder under another name and renames it: everybody who sees it also sees its holder.
bool Claim::make_first(int generation) {
  const std::string target = join_path(work_dir_, state_name(generation));
  const std::string fresh = join_path(work_dir_, "new-" + record_.holder.token);
  state_path_ = fresh;
  generation_ = generation;
  try {
    files_.make_directories(fresh);
    write_record();
    files_.rename(fresh, target);
  } catch (const FileError&) {
    // A faster taker may have removed `fresh`.
    if (!find_state(files_, work_dir_)) throw;
    files_.remove_tree(fresh);
    return false;
  }
  // Our rename may also work after a faster taker: when its folder was taken over since, a higher
  // generation exists and the name was free again.
  const auto newest = find_state(files_, work_dir_);
  if (newest && newest->path != target) {
    files_.remove_tree(target);
    return false;
  }
  state_path_ = target;
  files_.sync_directory(work_dir_);
  return true;
}

// Of all who believe that they have renamed a folder to state_path_, one makes the mark. On a
// shared file system that keeps names in memory, as GlusterFS and NFS do, a host may know a folder
// by its old name for a second after another host has renamed it. Linux takes a rename between two
// names of one folder for done, and does not ask the server.
bool Claim::mark_taken() {
  const auto mark = [&](int generation) {
    return join_path(state_path_, layout::taken + std::to_string(generation));
  };
  if (!files_.make_directory(mark(generation_))) return false;
  files_.remove_tree(mark(generation_ - 1));
  return true;
}

bool Claim::take_over(const StateFolder& found) {
  const std::string target = join_path(work_dir_, state_name(found.generation + 1));
  try {
    files_.rename(found.path, target);
  } catch (const FileError&) {
    if (!files_.exists(found.path)) return false;
    throw;
  }
  state_path_ = target;
  generation_ = found.generation + 1;
  if (predecessor_) {
    // These values hold until record_start() is called. A start that dies before that has made no
    // progress, either.
    record_.steps_at_start = predecessor_->steps_at_start;
    record_.starts_without_commit =
        static_cast<int>(std::min<int64_t>(predecessor_->starts_without_commit + 1, most_starts));
  }
  try {
    if (!mark_taken()) return false;
    files_.sync_directory(work_dir_);
    write_record();
  } catch (const FileError&) {
    // Another taker may have read the former holder's record before ours was written, and have
    // taken the folder over again.
    if (!files_.exists(target)) return false;
    throw;
  }
  return true;
}

void Claim::write_record() {
  const std::string path = join_path(state_path_, layout::holder);
  write_hashed_json(files_, path, beside(path),
                    {{"holder", to_json(record_.holder)},
                     {"released", record_.released},
                     {"outcome", record_.outcome},
                     {"starts_without_commit", record_.starts_without_commit},
                     {"steps_at_start", record_.steps_at_start}});
}

std::string Claim::beside(const std::string& path) const {
  return fmt::format("{}.new-{}", path, generation_);
}

void Claim::check() const {
  const auto now = find_state(files_, work_dir_);
  const bool newest = now && now->path == state_path_;
  const auto record = lost_ || !newest ? std::nullopt : read_holder(files_, state_path_);
  if (record && record->holder.token == record_.holder.token) return;
  const auto successor = now ? read_holder(files_, now->path) : std::nullopt;
  throw ClaimError(fmt::format(
      "{}: this run has lost its folder{}; it was silent for so long that it was taken for dead. "
      "Nothing more was written",
      work_dir_, successor ? " to " + describe(successor->holder) : ""));
}

void Claim::beat() {
  if (lost_) return;
  try {
    const std::string text = std::to_string(++beats_) + "\n";
    const auto file = files_.create(join_path(state_path_, layout::beat));
    file->append(std::as_bytes(std::span(text)));
    file->close();
  } catch (const FileError&) {
    // A full disk does not lose the claim. If it stays full, the next commit reports it.
    if (!files_.exists(state_path_)) lost_ = true;
  }
}

void Claim::record_start(int64_t steps_committed) {
  record_.steps_at_start = steps_committed;
  const bool no_progress = predecessor_ && predecessor_->steps_at_start == steps_committed;
  record_.starts_without_commit = no_progress ? predecessor_->starts_without_commit + 1 : 1;
  write_record();
}

void Claim::withdraw(const std::string& outcome) {
  record_.steps_at_start = predecessor_ ? predecessor_->steps_at_start : -1;
  record_.starts_without_commit = predecessor_ ? predecessor_->starts_without_commit : 0;
  release(outcome);
}

void Claim::release(const std::string& outcome) {
  check();
  record_.released = true;
  record_.outcome = outcome;
  write_record();
}

}  // namespace bitmill
