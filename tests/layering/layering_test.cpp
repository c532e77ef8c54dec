// The architecture, as a test: fails on the first include, or call, that stands in a wrong folder.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "layering/include_rules.hpp"

namespace bitmill {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path root = BITMILL_SOURCE_DIR;

bool is_source(const fs::path& path) {
  return path.extension() == ".hpp" || path.extension() == ".cpp" || path.extension() == ".cu" ||
         path.extension() == ".cuh";
}

TEST(Layering, EveryLineOfTheTreeIsInItsPlace) {
  int files = 0;
  for (const char* top : {"src", "kernels"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      const std::string path = entry.path().lexically_relative(root).generic_string();
      std::ifstream in(entry.path());
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        ++number;
        EXPECT_EQ(broken_rule(path, line), "") << path << ":" << number << ": " << line;
      }
    }
  }
  EXPECT_GT(files, 20) << "too few sources under " << root << ": this test looked in a wrong place";
}

TEST(Layering, EveryFolderOfSrcIsInTheTable) {
  for (const auto& entry : fs::directory_iterator(root / "src")) {
    if (!entry.is_directory()) continue;
    EXPECT_TRUE(allowed_folders().contains("src/" + entry.path().filename().string()))
        << entry.path() << ": give it a row in tests/layering/include_rules.hpp and src/README.md";
  }
}

// A room is a folder below a folder of src; each has a page at its door.
TEST(Layering, EveryRoomIsInTheTableAndHasADoorPage) {
  int rooms = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    const fs::path path = entry.path().lexically_relative(root);
    const std::string folder = path.parent_path().generic_string();
    if (!entry.is_directory() || folder == "src") continue;
    ++rooms;
    const auto known = room_order().find(folder);
    ASSERT_NE(known, room_order().end()) << path << ": tests/layering/include_rules.hpp";
    EXPECT_TRUE(std::ranges::count(known->second, path.filename().string())) << path;
    EXPECT_TRUE(fs::exists(entry.path() / "README.md")) << path << " needs a README.md";
  }
  EXPECT_GT(rooms, 10);
}

TEST(Layering, AFolderWithRoomsKeepsItsOwnFloorClear) {
  const std::map<std::string, int> most = {{"src/pipeline", 4}, {"src/cli", 6}};
  for (const auto& [folder, limit] : most) {
    int files = 0;
    for (const auto& entry : fs::directory_iterator(root / folder)) {
      files += entry.path().extension() == ".cpp" ? 1 : 0;
    }
    EXPECT_LE(files, limit) << folder;
  }
}

// So that a header which has a .cpp is compiled by itself at every build.
TEST(Layering, ASourceIncludesItsOwnHeaderFirst) {
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    if (entry.path().extension() != ".cpp") continue;
    const fs::path header = fs::path(entry.path()).replace_extension(".hpp");
    if (!fs::exists(header)) continue;
    std::ifstream in(entry.path());
    std::string line;
    while (std::getline(in, line) && !line.starts_with("#include")) {
    }
    const std::string name = header.lexically_relative(root / "src").generic_string();
    EXPECT_EQ(line, "#include \"" + name + "\"") << entry.path();
  }
}

// Takes away folders that include nothing still there, until none is left.
TEST(Layering, TheTableHasNoCircle) {
  auto left = allowed_folders();
  const auto has_no_arrow_left = [&left](const auto& row) {
    return std::ranges::none_of(row.second,
                                [&](const auto& target) { return left.contains("src/" + target); });
  };
  while (!left.empty()) {
    ASSERT_GT(std::erase_if(left, has_no_arrow_left), 0U) << left.begin()->first;
  }
}

TEST(IncludeRules, UpwardAndSidewaysIncludesAreNamed) {
  EXPECT_THAT(broken_rule("src/base/files.cpp", "#include \"format/dtype.hpp\""),
              HasSubstr("src/base must not include format/dtype.hpp"));
  EXPECT_NE(broken_rule("src/comm/a.cpp", "#include \"schedule/plan.hpp\""), "");
  EXPECT_NE(broken_rule("src/method/a.cpp", "#include \"comm/communicator.hpp\""), "");
  EXPECT_NE(broken_rule("src/eval/a.cpp", "  #  include \"pipeline/blocks/executor.hpp\""), "");
  EXPECT_NE(broken_rule("src/elsewhere/a.cpp", "#include \"base/error.hpp\""), "");
}

TEST(IncludeRules, ARoomSeesTheRoomsBelowIt) {
  EXPECT_EQ(broken_rule("src/pipeline/checks/a.cpp", "#include \"pipeline/job/b.hpp\""), "");
  EXPECT_EQ(broken_rule("src/pipeline/quantize.cpp", "#include \"pipeline/checks/b.hpp\""), "");
  EXPECT_EQ(broken_rule("src/comm/watch/a.cpp", "#include \"comm/communicator.hpp\""), "");
  EXPECT_THAT(broken_rule("src/pipeline/job/a.hpp", "#include \"pipeline/checks/b.hpp\""),
              HasSubstr("must not include src/pipeline/checks/b.hpp"));
  EXPECT_NE(broken_rule("src/pipeline/checks/a.cpp", "#include \"pipeline/quantize.hpp\""), "");
  EXPECT_NE(broken_rule("src/comm/gather.hpp", "#include \"comm/watch/link.hpp\""), "");
  EXPECT_NE(broken_rule("src/cli/cellar/a.cpp", "#include \"cli/report/table.hpp\""), "");
  EXPECT_NE(broken_rule("src/data/bpe/a.cpp", "#include \"data/bpe.hpp\""), "");
}

TEST(IncludeRules, KernelsSeeThePackedLayoutAndNothingElseOfOurs) {
  EXPECT_EQ(broken_rule("kernels/a.cu", "#include \"format/packed_layout.hpp\""), "");
  EXPECT_EQ(broken_rule("kernels/a.cu", "#include \"kernels/launch.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include \"format/dtype.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include \"base/error.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include <ATen/ATen.h>"), "");
}

TEST(IncludeRules, DownwardAndOwnIncludesPass) {
  EXPECT_EQ(broken_rule("src/data/a.cpp", "#include \"format/dtype.hpp\""), "");
  EXPECT_EQ(broken_rule("src/backend/a.cpp", "#include \"kernels/launch.hpp\""), "");
  EXPECT_EQ(broken_rule("src/cli/main.cpp", "#include \"pipeline/blocks/executor.hpp\""), "");
  EXPECT_EQ(broken_rule("src/base/a.cpp", "#include <vector>"), "");
  EXPECT_EQ(broken_rule("src/base/a.cpp", "#include <fmt/format.h>"), "");
}

TEST(IncludeRules, LibraryHeadersHaveOneDoorEach) {
  EXPECT_EQ(broken_rule("src/comm/mpi_communicator.cpp", "#include <mpi.h>"), "");
  EXPECT_NE(broken_rule("src/comm/communicator.hpp", "#include <mpi.h>"), "");
  EXPECT_EQ(broken_rule("src/base/json.cpp", "#include <nlohmann/json.hpp>"), "");
  EXPECT_NE(broken_rule("src/base/json.hpp", "#include <nlohmann/json.hpp>"), "");
  EXPECT_EQ(broken_rule("src/data/a.hpp", "#include <nlohmann/json_fwd.hpp>"), "");
  EXPECT_EQ(broken_rule("src/model/a.hpp", "#include <ATen/ATen.h>"), "");
  EXPECT_NE(broken_rule("src/format/a.cpp", "#include <ATen/ATen.h>"), "");
  EXPECT_NE(broken_rule("src/checkpoint/a.cpp", "#include <torch/torch.h>"), "");
  EXPECT_NE(broken_rule("src/format/a.cpp", "#include <xxhash.h>"), "");
  EXPECT_NE(broken_rule("src/model/a.cpp", "#include <pcre2.h>"), "");
  EXPECT_NE(broken_rule("src/pipeline/a.cpp", "#include <boost/program_options.hpp>"), "");
  EXPECT_NE(broken_rule("src/method/a.cpp", "#include <cuda_runtime_api.h>"), "");
  EXPECT_NE(broken_rule("src/data/a.cpp", "#include <fstream>"), "");
}

TEST(IncludeRules, EnvironmentAndExitBelongToTheCommandLine) {
  EXPECT_EQ(broken_rule("src/cli/main.cpp", "  std::exit(2);"), "");
  EXPECT_NE(broken_rule("src/comm/a.cpp", "  const char* v = std::getenv(\"X\");"), "");
  EXPECT_NE(broken_rule("src/comm/a.cpp", "  _exit (1);"), "");
  EXPECT_EQ(broken_rule("src/comm/a.cpp", "  on_exit_code(1);"), "");
  EXPECT_EQ(broken_rule("src/comm/a.cpp", "  // calls exit(1)"), "");
}

}  // namespace
}  // namespace bitmill
