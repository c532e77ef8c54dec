#pragma once
// What the checks of tune and of preprocess share: jobs that train all blocks of a model together.

#include <cstdint>

#include "base/files.hpp"
#include "base/problems.hpp"
#include "pipeline/checks/folders_check.hpp"
#include "schedule/mesh.hpp"

namespace bitmill {

// `stages` groups of ranks, as many in each. UsageError where the ranks or the blocks do not allow
// it.
Mesh mesh_of_stages(int stages, int64_t blocks, int ranks);

// Adds what is wrong with the folders of a job whose result has `record` in its config.json. The
// output folder may hold the result of `folders.fingerprint_json`.
void look_at_folders(const JobFolders& folders, const char* record, Files& files,
                     Problems& problems);

}  // namespace bitmill
