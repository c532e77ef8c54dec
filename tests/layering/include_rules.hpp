#pragma once
// The layer diagram of src/README.md as a table, and the function that holds a line against it.

#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace bitmill {

using Names = std::set<std::string>;

// folder -> the folders of ours that it may include besides itself.
inline const std::map<std::string, Names>& allowed_folders() {
  static const std::map<std::string, Names> table = {
      {"src/base", {}},
      {"src/format", {"base"}},
      {"src/data", {"base", "format"}},
      {"src/schedule", {"base"}},
      {"src/comm", {"base"}},
      {"src/checkpoint", {"base", "format"}},
      {"src/model", {"base", "format"}},
      {"src/backend", {"base", "format", "kernels"}},
      {"src/method", {"base", "format", "model", "backend"}},
      {"src/pipeline",
       {"base", "format", "data", "schedule", "comm", "checkpoint", "model", "backend", "method"}},
      {"src/eval", {"base", "format", "data", "comm", "model", "backend"}},
      {"src/generate", {"base", "format", "data", "model", "backend"}},
      {"src/cli",
       {"base", "format", "data", "schedule", "comm", "checkpoint", "model", "backend", "method",
        "pipeline", "eval", "generate"}},
      {"kernels", {}},
  };
  return table;
}

// Text that only some files may hold. Both expressions are searched for: `text` in the line
// without its comment, `files` in the path.
struct PlaceRule {
  std::regex text;
  std::regex files;
  std::string words;
};

inline const std::vector<PlaceRule>& place_rules() {
  static const std::vector<PlaceRule> rules = {
      {std::regex(R"(#\s*include <mpi\.h>)"), std::regex("^src/comm/mpi_"),
       "<mpi.h> only in src/comm/mpi_*"},
      {std::regex(R"(#\s*include <nccl\.h>)"), std::regex("^src/comm/nccl_"),
       "<nccl.h> only in src/comm/nccl_*"},
      {std::regex(R"(#\s*include <nlohmann/(?!json_fwd))"), std::regex(R"(^src/.*\.cpp$)"),
       "nlohmann/json in a .cpp of src; headers take json_fwd.hpp"},
      {std::regex(R"(#\s*include <(ATen|c10|torch)/)"),
       std::regex("^src/(model|backend|method|pipeline|eval|generate|cli)/"),
       "libtorch only in model and what stands on it"},
      {std::regex(R"(#\s*include <xxh)"), std::regex("^src/base/"), "xxhash only in src/base"},
      {std::regex(R"(#\s*include <pcre2)"), std::regex("^src/data/"), "pcre2 only in src/data"},
      {std::regex(R"(#\s*include <sentencepiece)"), std::regex("^src/data/sentencepiece_model"),
       "sentencepiece only in src/data/sentencepiece_model.cpp"},
      {std::regex(R"(#\s*include <utf8proc)"), std::regex("^src/data/normal_form"),
       "utf8proc only in src/data/normal_form.cpp"},
      {std::regex(R"(#\s*include <boost/)"), std::regex("^src/cli/"),
       "Boost.Program_options only in src/cli"},
      {std::regex(R"(#\s*include <(cuda|cublas))"), std::regex("^(kernels|src/(backend|comm))/"),
       "CUDA only in kernels, backend, comm"},
      {std::regex("<<<"), std::regex("^kernels/"), "kernels are launched only in kernels/"},
      {std::regex(R"(\b(getenv|setenv|_?exit|quick_exit)\s*\()"), std::regex("^src/cli/"),
       "environment and exit only in src/cli"},
      {std::regex(R"(#\s*include <(fstream|filesystem|fcntl\.h|sys/stat\.h|dirent\.h)>)"),
       std::regex("^src/(base/|checkpoint/holder)"),
       "the file system only through base/files.hpp; /proc in checkpoint/holder"},
  };
  return rules;
}

// What `line` of the file `path` (from the root of the tree) breaks, in words; empty when nothing.
// Knows `//` comments, not /* */, which we do not write across lines.
inline std::string broken_rule(const std::string& path, const std::string& line) {
  const std::string code = line.substr(0, line.find("//"));
  for (const PlaceRule& rule : place_rules()) {
    if (std::regex_search(code, rule.text) && !std::regex_search(path, rule.files)) {
      return rule.words;
    }
  }

  static const std::regex ours(R"re(^\s*#\s*include\s*"([^"]+)")re");
  std::smatch match;
  if (!std::regex_search(code, match, ours)) return "";
  const std::string header = match[1];
  const std::string to = header.substr(0, header.find('/'));
  const std::string from = path.substr(0, path.find('/', path.starts_with("src/") ? 4 : 0));
  const auto allowed = allowed_folders().find(from);
  if (allowed == allowed_folders().end()) return from + " is not in the table of layers";
  const bool same_folder = from == to || from == "src/" + to;
  const bool layout = from == "kernels" && header == "format/packed_layout.hpp";
  if (same_folder || layout || allowed->second.contains(to)) return "";
  return from + " must not include " + header;
}

}  // namespace bitmill
