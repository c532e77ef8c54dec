#pragma once
// Checks whether the folders of a job can hold what it will write, before hours of work.

#include <string>
#include <utility>
#include <vector>

#include "pipeline/folder/run_session.hpp"

namespace bitmill {

// The folders that a job reads and writes, and how many bytes it writes.
struct JobFolders {
  std::vector<std::pair<std::string, std::string>> models;  // option, folder; only read
  std::string calib, output_dir, scratch_dir;
  WorkFolder work;
  std::string fingerprint_json;  // an unfinished run in the run folder must have it
  int64_t result_bytes = 0, state_bytes = 0;
  int64_t scratch_bytes = 0;       // of all ranks
  int64_t rank_scratch_bytes = 0;  // of the rank that needs most
  std::string corpus_dir = {};     // for index and unpacked texts of a corpus; empty without one
  int64_t corpus_bytes = 0;        // there
};

// The part that is the same for all jobs: Options and Forecast have fields of these names. The job
// itself fills in `models` and the other sizes.
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

// UsageError when a folder lies where it, or another one, would be damaged: for example inside of
// the model's folder; or when it cannot be made or written to. Needs neither model nor calibration
// nor forecast, so that it can come first. Also looks at folders that already hold something; where
// the output folder does, writing is not checked.
void check_places(const JobFolders& folders, Files& files);

// Touches nothing. UsageError with every problem, one per line: a folder that lies where damage
// would be done, that cannot be written or is too small, or a run folder that holds something else.
// An output folder that holds the finished result passes without checks: nothing will be written.
//
// REQUIRES: check_output() has accepted the output folder.
void check_folders(const JobFolders& folders, Files& files);

// The bytes that check_folders() wants to find free on the file system of the run folder.
int64_t room_of_a_start(const JobFolders& folders, Files& files);

// The same problems as a list, whatever the output folder holds.
std::vector<std::string> folder_problems(const JobFolders& folders, Files& files);

}  // namespace bitmill
