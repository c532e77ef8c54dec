#include "pipeline/checks/whole_model_check.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "pipeline/folder/assemble.hpp"

namespace bitmill {

Mesh mesh_of_stages(int stages, int64_t blocks, int ranks) {
  BITMILL_CHECK(stages >= 1 && stages <= blocks && ranks % stages == 0, UsageError,
                fmt::format("--stages is {}: it must divide the {} ranks there are, and be at most "
                            "the {} blocks",
                            stages, ranks, blocks));
  return {stages, ranks / stages};
}

void look_at_folders(const JobFolders& folders, const char* record, Files& files,
                     Problems& problems) {
  problems.in("folders");
  // This comes first, because the messages of the next checks may tell the user to remove a folder.
  if (!problems.attempt([&] { check_places(folders, files); })) return;
  if (!problems.attempt(
          [&] { check_output(folders.output_dir, files, record, folders.fingerprint_json); })) {
    return;
  }
  problems.attempt([&] { check_folders(folders, files); });
}

}  // namespace bitmill
