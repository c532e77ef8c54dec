#pragma once
// Whether the folders of a job can take what it will write, asked before the hours of work.

#include <string>
#include <utility>
#include <vector>

#include "pipeline/folder/run_session.hpp"

namespace bitmill {

// What a job reads and writes.
struct JobFolders {
  std::vector<std::pair<std::string, std::string>> models;  // option, folder; stay as they are
  std::string calib, output_dir, scratch_dir;
  WorkFolder work;
  std::string fingerprint_json;  // that an unfinished run in the work folder must have
  int64_t result_bytes = 0, state_bytes = 0;
  int64_t scratch_bytes = 0;       // of all ranks
  int64_t rank_scratch_bytes = 0;  // of the one that needs most
};

// What every job tells alike; both have fields of these names. The models and sizes are its own.
template <class Options, class Forecast>
JobFolders common_folders(const Options& options, const Forecast& forecast) {
  JobFolders folders;
  folders.calib = options.calib;
  folders.output_dir = options.output_dir;
  folders.scratch_dir = options.scratch_dir;
  folders.work = work_folder(options);
  folders.fingerprint_json = forecast.fingerprint_json;
  folders.result_bytes = forecast.packed_bytes;
  return folders;
}

// UsageError when a folder lies where it, or another, would come to harm. Says so also of folders
// that hold something already.
void check_places(const JobFolders& folders, Files& files);

// Touches nothing. UsageError with every problem, one a line: a folder that lies where it would do
// harm, cannot be written or is too small, or a work folder that holds something else. An output
// folder that holds the finished result passes as it is: nothing will be written.
//
// REQUIRES: check_output() has nothing against the output folder.
void check_folders(const JobFolders& folders, Files& files);

// The same as a list, whatever the output folder holds.
std::vector<std::string> folder_problems(const JobFolders& folders, Files& files);

}  // namespace bitmill
