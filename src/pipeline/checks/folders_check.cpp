#include "pipeline/checks/folders_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "base/error.hpp"
#include "format/partial_folder.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {
namespace {

using Sentences = std::vector<std::string>;

// A path as the user gave it, and the same path resolved.
struct NamedPath {
  std::string option;
  std::string given;
  std::string real;
};

// So many bytes will be written somewhere below the existing folder `place`.
struct Need {
  std::string option;
  std::string place;
  int64_t bytes = 0;
};

NamedPath name_path(Files& files, const char* option, const std::string& path) {
  return {option, path, files.resolve(path)};
}

void check_apart(const NamedPath& inner, const NamedPath& outer, Sentences& problems) {
  if (!lies_in(inner.real, outer.real)) return;
  problems.push_back(fmt::format("{} {} lies in {} {}; give another folder", inner.option,
                                 inner.given, outer.option, outer.given));
}

bool is_filled(Files& files, const std::string& folder) {
  return files.exists(folder) && (!files.is_directory(folder) || !files.list(folder).empty());
}

// The result is first written under another name, beside its final place. Nothing else of the job
// may lie there.
void check_partial(const JobFolders& folders, Files& files, const std::vector<NamedPath>& others,
                   Sentences& problems) {
  const std::string partial = partial_path(files, folders.output_dir);
  for (const NamedPath& other : others) {
    if (!lies_in(other.real, partial)) continue;
    problems.push_back(
        fmt::format("the result is made in {}, where {} {} lies; give another "
                    "--output-dir",
                    partial, other.option, other.given));
    return;
  }
  if (is_filled(files, folders.output_dir)) return;  // check_output() reports that
  try {
    check_partial_place(files, folders.output_dir);
  } catch (const UsageError& error) {
    problems.push_back(error.what());
  }
}

void list_misplaced(const JobFolders& folders, Files& files, Sentences& problems) {
  const NamedPath output = name_path(files, "--output-dir", folders.output_dir);
  const NamedPath work = name_path(files, "--work-dir", folders.work.path);
  const NamedPath scratch = name_path(files, "--scratch-dir", folders.scratch_dir);
  const bool scratch_apart = scratch.real != work.real;
  std::vector<NamedPath> others = {name_path(files, "--calib", folders.calib), work, scratch};
  for (const auto& [option, folder] : folders.models) {
    const NamedPath model = name_path(files, option.c_str(), folder);
    check_apart(output, model, problems);
    check_apart(work, model, problems);
    if (scratch_apart) check_apart(scratch, model, problems);
    others.push_back(model);
  }
  check_apart(work, output, problems);
  if (output.real != work.real) check_apart(output, work, problems);
  if (scratch_apart) check_apart(scratch, output, problems);
  check_partial(folders, files, others, problems);
}

void check_work_state(const JobFolders& folders, Files& files, Sentences& problems) {
  try {
    check_work_dir(folders.work, files, folders.fingerprint_json);
  } catch (const Error& error) {
    problems.push_back(error.what());
  }
}

// A scratch folder on a file system of its own may be a separate disk on every machine. So only the
// file of one rank is certain to be there, and only that one is counted.
std::vector<Need> list_needs(const JobFolders& folders, Files& files) {
  const auto place = [&](const std::string& path) {
    return nearest_existing(files, files.resolve(path));
  };
  const Need output = {"--output-dir", place(parent_path(files.resolve(folders.output_dir))),
                       folders.result_bytes};
  const Need work = {"--work-dir", place(folders.work.path), folders.state_bytes};
  std::vector<Need> needs = {output, work};
  if (folders.corpus_bytes > 0) {
    needs.push_back({"--corpus", place(folders.corpus_dir), folders.corpus_bytes});
  }
  if (folders.scratch_bytes == 0) return needs;
  Need scratch = {"--scratch-dir", place(folders.scratch_dir), folders.scratch_bytes};
  const bool shared = std::ranges::any_of(needs, [&](const Need& need) {
    return files.file_system(need.place) == files.file_system(scratch.place);
  });
  if (!shared) scratch.bytes = folders.rank_scratch_bytes;
  needs.push_back(scratch);
  return needs;
}

// What is in the way of each folder; the paths are as the user gave them.
void check_writable(const JobFolders& folders, Files& files, Sentences& problems) {
  std::vector<std::string> found = {
      result_folder_problem(files, "--output-dir", folders.output_dir),
      folder_problem(files, "--work-dir", folders.work.path)};
  if (folders.scratch_dir != folders.work.path) {
    found.push_back(folder_problem(files, "--scratch-dir", folders.scratch_dir));
  }
  if (!folders.corpus_dir.empty()) {
    found.push_back(folder_problem(files, "the index of --corpus,", folders.corpus_dir));
  }
  std::ranges::copy_if(found, std::back_inserter(problems),
                       [](const std::string& problem) { return !problem.empty(); });
}

void check_space(Files& files, const std::vector<Need>& needs, Sentences& problems) {
  std::map<uint64_t, std::vector<Need>> by_file_system;
  for (const Need& need : needs) by_file_system[files.file_system(need.place)].push_back(need);
  for (const auto& [file_system, together] : by_file_system) {
    int64_t bytes = 0;
    std::vector<std::string> shares;
    for (const Need& need : together) {
      bytes += need.bytes;
      shares.push_back(fmt::format("{} {}", need.option, need.bytes));
    }
    const int64_t free = files.free_bytes(together.front().place);
    if (bytes <= free) continue;
    problems.push_back(fmt::format(
        "the run writes about {} bytes ({}) to the file system of {}, which has {} free; free some "
        "space or choose other folders",
        bytes, fmt::join(shares, ", "), together.front().place, free));
  }
}

}  // namespace

int64_t room_of_a_start(const JobFolders& folders, Files& files) {
  const std::string work = nearest_existing(files, files.resolve(folders.work.path));
  int64_t bytes = 0;
  for (const Need& need : list_needs(folders, files)) {
    if (files.file_system(need.place) == files.file_system(work)) bytes += need.bytes;
  }
  return bytes;
}

std::vector<std::string> folder_problems(const JobFolders& folders, Files& files) {
  Sentences problems;
  list_misplaced(folders, files, problems);
  check_work_state(folders, files, problems);
  check_writable(folders, files, problems);
  check_space(files, list_needs(folders, files), problems);
  return problems;
}

void check_places(const JobFolders& folders, Files& files) {
  Sentences problems;
  list_misplaced(folders, files, problems);
  if (!is_filled(files, folders.output_dir)) check_writable(folders, files, problems);
  BITMILL_CHECK(problems.empty(), UsageError, fmt::format("{}", fmt::join(problems, "\n")));
}

void check_folders(const JobFolders& folders, Files& files) {
  if (is_filled(files, folders.output_dir)) return;  // the finished result
  const Sentences problems = folder_problems(folders, files);
  BITMILL_CHECK(problems.empty(), UsageError, fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace bitmill
