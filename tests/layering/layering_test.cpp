// Tests the architecture: fails when an include, or a call, is in a folder where it must not be.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <utility>
#include <vector>

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

std::string text_of(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
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

// A room is a folder inside a folder of src. Each must have a README.md.
TEST(Layering, EveryRoomIsInTheTableAndHasADoorPage) {
  int rooms = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    const fs::path path = entry.path().lexically_relative(root);
    const std::string folder = path.parent_path().generic_string();
    if (!entry.is_directory() || folder == "src" || folder.starts_with("src/python")) continue;
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

// Reason: then every build shows that this header compiles by itself.
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

// The .cpp with a header's name defines what the header declares, so that readers find it without a
// search. Exceptions: several files that each make a thing of one kind, with one header for all.
TEST(Layering, ASourceHasAHeaderOfItsNameOrOneThatListsIt) {
  const std::vector<std::pair<std::regex, std::string>> lists = {
      {std::regex("src/backend/(cpu|cuda|reference)_backend"), "backend/backend.hpp"},
      {std::regex("src/channel/no_nccl"), "channel/nccl.hpp"},
      {std::regex("src/cli/main"), "cli/program.hpp"},
      {std::regex("src/cli/commands/command_[a-z]+"), "cli/commands/command.hpp"},
      {std::regex("src/data/corpus_(text|token)_sequences"), "data/corpus_sequences.hpp"},
      {std::regex("src/data/corpus_index_writer"), "data/corpus_index.hpp"},
      {std::regex("src/data/decode_bytes"), "data/decode_step.hpp"},
      {std::regex("src/data/(sentencepiece_reader|tiktoken|tokenizer_json|vocab_merges)"),
       "data/tokenizer_kinds.hpp"},
      {std::regex("src/device/(cpu_device|cuda_device|no_cuda)"), "device/device.hpp"},
      {std::regex("src/device/cuda_product"), "device/product.hpp"},
      {std::regex("src/device/cuda_queue"), "device/queue.hpp"},
      {std::regex("src/model/family_[a-z0-9]+"), "model/family_parts.hpp"},
      {std::regex("src/pipeline/blocks/block_(reports|streams)"),
       "pipeline/blocks/block_compute.hpp"},
      {std::regex("src/product/int8_product"), "product/dense_product.hpp"},
      {std::regex("src/schedule/find_fault"), "schedule/plan.hpp"},
  };
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    if (entry.path().extension() != ".cpp") continue;
    const fs::path stem = fs::path(entry.path()).replace_extension();
    if (fs::exists(stem.string() + ".hpp")) continue;
    const std::string name = stem.lexically_relative(root).generic_string();
    const auto list = std::ranges::find_if(
        lists, [&](const auto& one) { return std::regex_match(name, one.first); });
    ASSERT_NE(list, lists.end()) << name << ".cpp has no header of its name";
    EXPECT_THAT(text_of(entry.path()), HasSubstr("#include \"" + list->second + "\"")) << name;
  }
}

// The anchor that a link uses for a heading.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == ' ') anchor += '-';
    if (std::isalnum(byte) || c == '-' || c == '_') anchor += static_cast<char>(std::tolower(byte));
  }
  return anchor;
}

bool has_anchor(const fs::path& page, const std::string& anchor) {
  std::ifstream in(page);
  for (std::string line; std::getline(in, line);) {
    const size_t begin = line.find_first_not_of('#');
    if (!line.starts_with('#') || begin == line.npos || line[begin] != ' ') continue;
    if (anchor_of(line.substr(begin + 1)) == anchor) return true;
  }
  return false;
}

TEST(Pages, EveryLinkInsideTheTreeLeadsSomewhere) {
  const std::regex link(R"re(\]\(([^)#\s:]*)(?:#([^)\s]+))?\))re");  // a ":" leads outside
  int links = 0;
  for (auto entry = fs::recursive_directory_iterator(root); entry != fs::end(entry); ++entry) {
    const std::string folder = entry->path().filename().string();
    if (entry->is_directory() && (folder == "build" || folder.starts_with('.') ||
                                  folder == "shared" || entry->is_symlink())) {
      entry.disable_recursion_pending();
    }
    if (entry->path().extension() != ".md") continue;
    const std::string text = text_of(entry->path());
    for (std::sregex_iterator at(text.begin(), text.end(), link), none; at != none; ++at) {
      ++links;
      const std::string file = (*at)[1], anchor = (*at)[2];
      const fs::path to = file.empty() ? entry->path() : entry->path().parent_path() / file;
      EXPECT_TRUE(fs::exists(to)) << entry->path() << ": " << at->str();
      if (!anchor.empty()) {
        EXPECT_TRUE(has_anchor(to, anchor)) << entry->path() << ": " << at->str();
      }
    }
  }
  EXPECT_GT(links, 10);
}

TEST(Pages, AnAnchorIsTheHeadingInSmallLettersWithDashes) {
  EXPECT_EQ(anchor_of("What CI spends"), "what-ci-spends");
  EXPECT_EQ(anchor_of("How to add ..."), "how-to-add-");
  EXPECT_EQ(anchor_of("`tune`, in short"), "tune-in-short");
}

// Removes the folders that include no folder that is left, again and again, until none is left.
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

TEST(IncludeRules, KernelsSeeThePackedLayoutAndOneElementOfAdamWAndNothingElseOfOurs) {
  EXPECT_EQ(broken_rule("kernels/a.cu", "#include \"format/packed_layout.hpp\""), "");
  EXPECT_EQ(broken_rule("kernels/a.cu", "#include \"method/adamw_element.hpp\""), "");
  EXPECT_EQ(broken_rule("kernels/a.cu", "#include \"kernels/launch.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include \"method/adamw.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include \"format/dtype.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include \"base/error.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/a.cu", "#include <ATen/ATen.h>"), "");
}

TEST(IncludeRules, TwoHeadersKnowWhichCompilerReadsAKernel) {
  const std::string emulator = "#include \"tests/emulation/block/device_code.hpp\"";
  EXPECT_EQ(broken_rule("kernels/simt.hpp", "#ifdef __CUDACC__"), "");
  EXPECT_EQ(broken_rule("kernels/simt.hpp", emulator), "");
  EXPECT_EQ(broken_rule("kernels/tile.hpp", emulator), "");
  EXPECT_NE(broken_rule("kernels/tile.hpp", "#include \"tests/temp_folder.hpp\""), "");
  EXPECT_NE(broken_rule("kernels/pack_signs.cu", emulator), "");
  EXPECT_NE(broken_rule("kernels/pack_signs.hpp", "#ifdef __CUDACC__"), "");
  EXPECT_NE(broken_rule("src/backend/a.cpp", "#if defined(__CUDA_ARCH__)"), "");
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
