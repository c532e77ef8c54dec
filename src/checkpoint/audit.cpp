#include "checkpoint/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"
#include "checkpoint/run_state.hpp"

namespace bitmill {
namespace {

constexpr int most_attempts = 5;

// One file, how to verify it, and what helps when it is damaged.
struct Item {
  std::string path;
  std::function<void()> verify;
  std::string advice;
  int redo_block = -1;  // -1: building a block again does not help
};

class Audit {
 public:
  Audit(Files& files, const StateFolder& found) : files_(files), state_(files, found.path) {
    result_.state_path = found.path;
  }

  RunAudit run(ThreadPool& pool) {
    list_single_files();
    list_blocks(layout::packed);
    list_live();
    list_parts();
    list_blocks(layout::set_aside);
    list_sources();
    list_streams();
    pool.parallel_for(std::ssize(items_),
                      [&](int64_t i) { look_at(items_[static_cast<size_t>(i)]); });
    find_gaps();
    std::ranges::sort(result_.faults, {}, &FileFault::path);
    result_.redo_blocks.assign(redo_.begin(), redo_.end());
    return std::move(result_);
  }

 private:
  std::vector<std::string> names_in(const char* folder) const {
    const std::string path = join_path(state_.path(), folder);
    std::vector<std::string> names;
    try {
      names = files_.list(path);
    } catch (const FileError&) {
      if (files_.exists(path)) throw;  // otherwise a finished run has removed it
    }
    // Leave out unfinished files. Either their writer is still at work, or it died; then the next
    // start removes them.
    std::erase_if(names, [](const std::string& n) { return n.find(".new-") != std::string::npos; });
    return names;
  }

  void list_single_files() {
    const std::string record = join_path(state_.path(), layout::record);
    items_.push_back({record, [this] { state_.record(); },
                      "restore it from a copy, or discard the run with --resume never"});
    const auto may_be_there = [&](const char* name, const char* advice) {
      const std::string path = join_path(state_.path(), name);
      if (!files_.exists(path)) return;
      items_.push_back({path, [this, path] { read_hashed_json(files_, path); }, advice});
    };
    may_be_there(layout::holder,
                 "the next start repairs it, after watching whether a holder is alive");
    for (const char* name : {layout::done, layout::failure}) {
      may_be_there(name, "it may be removed: the next start does not need it");
    }
  }

  void list_blocks(const char* folder) {
    const bool packed = folder == layout::packed;
    for (const std::string& name : names_in(folder)) {
      const auto key = parse_block_name(name);
      const std::string path = join_path(join_path(state_.path(), folder), name);
      if (!key) {
        faults_of_listing(path, "is not a name that a run gives to a file; remove it");
      } else if (packed) {
        packed_.insert({key->block, key->turn()});
        items_.push_back(
            {path, [this, key] { state_.open_packed(key->block, key->turn()); }, "", key->block});
      } else {
        set_aside_.insert({key->block, key->turn()});
        items_.push_back(
            {path, [this, key] { state_.recorded_content(key->block, key->turn()); },
             "it may be removed, but then its replacement cannot be compared with it"});
      }
    }
  }

  void list_live() {
    for (const std::string& name : names_in(layout::live)) {
      const auto key = parse_block_name(name);
      const std::string path = join_path(join_path(state_.path(), layout::live), name);
      if (!key) {
        faults_of_listing(path, "is not a name that a run gives to a file; remove it");
        continue;
      }
      const auto verify = [this, block = key->block] { state_.open_live(block); };
      items_.push_back({path, verify, "", key->block});
    }
  }

  // A part of another step than that of the state in live/ was not committed, or is not needed any
  // more.
  void list_parts() {
    for (const std::string& name : names_in(layout::parts)) {
      const auto key = parse_block_name(name);
      const std::string path = join_path(join_path(state_.path(), layout::parts), name);
      if (!key) {
        faults_of_listing(path, "is not a name that a run gives to a file; remove it");
        continue;
      }
      items_.push_back({path, [this, key] { state_.open_part(key->block, key->number); },
                        "start over with --resume never, unless live/ is of another step"});
    }
  }

  void list_sources() {
    for (const std::string& name : names_in(layout::sources)) {
      const auto key = parse_block_name(name);
      const std::string path = join_path(join_path(state_.path(), layout::sources), name);
      const int block = key ? key->block : outside_blocks;
      items_.push_back({path, [this, block] { state_.source(block); },
                        "remove it: the next start records the weights anew, without comparing"});
    }
  }

  void list_streams() {
    for (const std::string& name : names_in(layout::streams)) {
      const std::string path = join_path(join_path(state_.path(), layout::streams), name);
      items_.push_back({path, [this, path] { open_hashed(files_, path); },
                        "it may be removed: the next start makes the streams again"});
    }
  }

  void look_at(const Item& item) {
    std::string what;
    int64_t bytes = 0;
    try {
      item.verify();
      bytes = files_.open(item.path)->size();
    } catch (const Error& error) {
      // The file may be gone by now: a run removes old live states, and a new holder renames the
      // state folder.
      if (!files_.exists(item.path)) return;
      what = error.what();
    }
    const std::lock_guard lock(mutex_);
    ++result_.files;
    result_.bytes += bytes;
    if (what.empty()) return;
    if (item.redo_block >= 0) redo_.insert(item.redo_block);
    result_.faults.push_back({item.path, item.advice.empty() ? what : what + "; " + item.advice});
  }

  // Finds missing packed files. A block's turns are packed in order, and turn k of a block is
  // packed after turn k of the block before. While a turn is built again, its old file is set
  // aside.
  void find_gaps() {
    std::set<std::pair<int, int>> missing;
    for (const auto& [block, turn] : packed_) {
      for (const std::pair<int, int>& needed :
           {std::pair(block, turn - 1), std::pair(block - 1, turn)}) {
        const bool exists = needed.first >= 0 && needed.second >= 0;
        if (!exists || packed_.contains(needed) || set_aside_.contains(needed)) continue;
        if (files_.exists(state_.packed_path(block, turn))) missing.insert(needed);
      }
    }
    for (const auto& [block, turn] : missing) {
      if (state_.has_packed(block, turn)) continue;  // was written during the audit
      faults_of_listing(state_.packed_path(block, turn),
                        "is missing, and later ones are there; the next start builds it again");
    }
  }

  void faults_of_listing(const std::string& path, const std::string& what) {
    result_.faults.push_back({path, path + " " + what});
  }

  Files& files_;
  const RunState state_;
  std::vector<Item> items_;
  std::set<std::pair<int, int>> packed_, set_aside_;  // (block, turn)
  std::mutex mutex_;                                  // guards result_ and redo_ in look_at()
  RunAudit result_;
  std::set<int> redo_;
};

}  // namespace

RunAudit audit_run(Files& files, const std::string& work_dir, ThreadPool& pool) {
  // A new holder may take the run over meanwhile, and renames the state folder. Then the files that
  // were listed are gone, and the audit begins again.
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    const auto found = find_state(files, work_dir);
    const auto has_moved = [&] {
      const auto now = find_state(files, work_dir);
      return found && now && now->path != found->path;
    };
    try {
      const Occupancy occupancy = inspect_work_dir(files, work_dir);
      if (has_moved()) continue;
      BITMILL_CHECK(found && occupancy != Occupancy::nothing, UsageError,
                    fmt::format("{} holds no run; give the --work-dir of one (by default the "
                                "output folder's name with .work added)",
                                work_dir));
      RunAudit audit = Audit(files, *found).run(pool);
      if (!has_moved()) return audit;
    } catch (const FileError&) {
      if (!has_moved()) throw;
    }
  }
  throw Error(
      fmt::format("{} was taken over {} times while it was read; ask again when its starts "
                  "do not follow each other so fast",
                  work_dir, most_attempts));
}

}  // namespace bitmill
