#pragma once
// A folder of several files as one input of a fuzzer. A file is a line "=== NAME\n", then its bytes
// and a newline, up to the next such line or the end. Text before the first such line is ignored.

#include <map>
#include <string>
#include <string_view>

namespace bitmill::fuzz {

using Folder = std::map<std::string, std::string>;  // name, perhaps with slashes -> content

inline constexpr std::string_view file_mark = "\n=== ";

inline std::string folder_text(const Folder& folder) {
  std::string text;
  for (const auto& [name, content] : folder) {
    text.append(file_mark.substr(1)).append(name).append("\n").append(content).append("\n");
  }
  return text;
}

// A file whose content contains the mark is cut there: the input then has one more file.
inline Folder read_folder(std::string_view input) {
  const std::string text = "\n" + std::string(input);
  Folder folder;
  size_t begin = text.find(file_mark);
  while (begin != text.npos) {
    begin += file_mark.size();
    const size_t end = text.find(file_mark, begin);
    std::string piece = text.substr(begin, end == text.npos ? end : end - begin);
    if (end == text.npos && piece.ends_with('\n')) piece.pop_back();
    const size_t line = piece.find('\n');
    if (line != piece.npos) folder[piece.substr(0, line)] = piece.substr(line + 1);
    begin = end;
  }
  return folder;
}

}  // namespace bitmill::fuzz
