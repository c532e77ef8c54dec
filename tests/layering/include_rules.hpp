#pragma once
// The layer diagram of src/README.md as a table, and the function that checks a line of code.

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace bitmill {

using Names = std::set<std::string>;

// folder -> our folders that it may include besides itself.
inline const std::map<std::string, Names>& allowed_folders() {
  static const std::map<std::string, Names> table = {
      {"src/base", {}},
      {"src/format", {"base"}},
      {"src/python", {}},  // no C++
      {"src/data", {"base", "format"}},
      {"src/schedule", {"base"}},
      {"src/comm", {"base"}},
      {"src/device", {"base", "kernels"}},
      {"src/channel", {"base", "comm", "device", "kernels"}},
      {"src/checkpoint", {"base", "format"}},
      {"src/model", {"base", "format", "device", "kernels"}},
      {"src/backend", {"base", "format", "device", "kernels"}},
      {"src/product", {"base", "format", "kernels"}},
      {"src/method", {"base", "format", "device", "model", "backend", "kernels"}},
      {"src/pipeline",
       {"base", "format", "data", "schedule", "comm", "channel", "checkpoint", "device", "model",
        "backend", "method"}},
      {"src/eval", {"base", "format", "data", "comm", "device", "model", "backend", "product"}},
      {"src/infer", {"base", "format", "data", "model", "product"}},
      {"src/serve", {"base", "data", "model", "infer"}},
      {"src/cli",
       {"base", "format", "data", "schedule", "comm", "checkpoint", "device", "model", "backend",
        "product", "method", "pipeline", "eval", "infer", "serve", "channel"}},
      {"kernels", {}},
  };
  return table;
}

// A room is a folder inside a folder of src. The table: folder -> its rooms, the lowest first; ""
// stands for the files that lie in the folder itself. A room may include itself and the rooms
// before it.
inline const std::map<std::string, std::vector<std::string>>& room_order() {
  static const std::map<std::string, std::vector<std::string>> table = {
      {"src/format", {"handover", ""}},
      {"src/comm", {"", "watch"}},
      {"src/pipeline",
       {"job", "ranks", "streams", "sums", "folder", "training", "blocks", "tuning", "adapting",
        "checks", ""}},
      {"src/cli", {"report", "options", "process", "commands", ""}},
  };
  return table;
}

// The room of the file `path` in `folder`: "checks" for src/pipeline/checks/a.cpp, "" for a file
// that lies in the folder itself.
inline std::string room_of(const std::string& folder, const std::string& path) {
  const std::string inside = path.substr(folder.size() + 1);
  const size_t slash = inside.find('/');
  return slash == std::string::npos ? "" : inside.substr(0, slash);
}

// broken_rule() for an include inside one folder of src. `from` and `to` are paths from the root.
inline std::string broken_room_rule(const std::string& folder, const std::string& from,
                                    const std::string& to) {
  const auto rooms = room_order().find(folder);
  const std::string from_room = room_of(folder, from), to_room = room_of(folder, to);
  if (rooms == room_order().end()) {
    return from_room.empty() && to_room.empty() ? "" : folder + " has no rooms in the table";
  }
  const auto& order = rooms->second;
  const auto from_place = std::ranges::find(order, from_room);
  const auto to_place = std::ranges::find(order, to_room);
  if (from_place == order.end()) return folder + "/" + from_room + " is no room of the table";
  if (to_place <= from_place) return "";
  return "room \"" + from_room + "\" must not include " + to + ", which lies above it";
}

// A text that only some files may contain. Both expressions are searched, not matched as a whole:
// `text` in the line without its comment, `files` in the path.
struct PlaceRule {
  std::regex text;
  std::regex files;
  std::string words;
};

inline const std::vector<PlaceRule>& place_rules() {
  static const std::vector<PlaceRule> rules = {
      {std::regex(R"(#\s*include <mpi\.h>)"), std::regex("^src/comm/mpi_"),
       "<mpi.h> only in src/comm/mpi_*"},
      {std::regex(R"(#\s*include <nccl\.h>)"), std::regex("^src/channel/nccl_"),
       "<nccl.h> only in src/channel/nccl_*"},
      {std::regex(R"(#\s*include <nlohmann/(?!json_fwd))"), std::regex(R"(^src/.*\.cpp$)"),
       "nlohmann/json in a .cpp of src; headers take json_fwd.hpp"},
      {std::regex(R"(#\s*include <(ATen|c10|torch)/)"),
       std::regex("^src/(channel|device|model|backend|method|pipeline|eval|infer|serve|cli)/"),
       "libtorch only in channel, device and what stands on them"},
      {std::regex(R"(#\s*include <xxh)"), std::regex("^src/base/"), "xxhash only in src/base"},
      {std::regex(R"(#\s*include <pcre2)"), std::regex("^src/data/"), "pcre2 only in src/data"},
      {std::regex(R"(#\s*include <sentencepiece)"), std::regex("^src/data/sentencepiece_model"),
       "sentencepiece only in src/data/sentencepiece_model.cpp"},
      {std::regex(R"(#\s*include <utf8proc)"), std::regex("^src/data/normal_form"),
       "utf8proc only in src/data/normal_form.cpp"},
      {std::regex(R"(#\s*include <(zlib|zstd)\.h>)"), std::regex("^src/data/corpus_unpack"),
       "zlib and zstd only in src/data/corpus_unpack.cpp"},
      {std::regex(R"(#\s*include <httplib)"), std::regex("^src/serve/(http_|connection_threads)"),
       "httplib only in src/serve/http_* and connection_threads"},
      {std::regex(R"(#\s*include <boost/)"), std::regex("^src/cli/"),
       "Boost.Program_options only in src/cli"},
      {std::regex(R"(#\s*include <(cuda|cublas))"), std::regex("^(kernels|src/device)/"),
       "CUDA only in kernels and device"},
      {std::regex("<<<"), std::regex("^kernels/"), "kernels are launched only in kernels/"},
      {std::regex("__CUDA(CC|_ARCH)__|(tests/)?emulation/"),
       std::regex(R"(^kernels/(simt|tile)\.hpp$)"),
       "which compiler reads a kernel is known to kernels/simt.hpp and tile.hpp alone"},
      {std::regex(R"(\b(getenv|setenv|_?exit|quick_exit)\s*\()"), std::regex("^src/cli/"),
       "environment and exit only in src/cli"},
      {std::regex(R"(#\s*include <(fstream|filesystem|fcntl\.h|sys/stat\.h|dirent\.h)>)"),
       std::regex("^src/(base/|checkpoint/holder)"),
       "the file system only through base/files.hpp; /proc in checkpoint/holder"},
  };
  return rules;
}

// The rule that `line` of the file `path` (from the root of the tree) breaks, in words; empty when
// it breaks none. Ignores `//` comments. Does not know /* */, which we do not write across lines.
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
  const bool shared = from == "kernels" &&
                      (header == "format/packed_layout.hpp" ||
                       header == "method/adamw_element.hpp" || header == "method/grid_element.hpp");
  const bool emulator = from == "kernels" && header.starts_with("tests/emulation/block/");
  if (same_folder && from.starts_with("src/")) return broken_room_rule(from, path, "src/" + header);
  if (same_folder || shared || emulator || allowed->second.contains(to)) return "";
  return from + " must not include " + header;
}

}  // namespace bitmill
