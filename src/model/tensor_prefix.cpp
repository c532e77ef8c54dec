#include "model/tensor_prefix.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

// "model.decoder.", "decoder.", "".
std::vector<std::string> ends_of_prefix(const Family& family) {
  std::vector<std::string> ends;
  for (std::string_view rest = family.names.prefix;; rest.remove_prefix(rest.find('.') + 1)) {
    ends.emplace_back(rest);
    if (rest.empty()) return ends;
  }
}

// The two tensors by which a model is told: its embedding, and where the head stands for it, the
// first linear of the first block.
std::vector<std::string> marks(const Family& family) {
  return {fmt::format("{}.weight", family.names.embedding),
          fmt::format("{}0.{}.weight", family.names.blocks, family.linears.front().name)};
}

// How the names have to be changed so that the family's own come out.
TensorRename find_rename(const TensorFolder& raw, const TensorFolder& cut,
                         const std::string& prefix, const Family& family) {
  const std::string inner = find_tensor_prefix(cut, family);
  const bool head_is_inside = raw.contains(fmt::format("{}{}.weight", prefix, family.names.head));
  const std::string_view whole = family.names.prefix;
  if (head_is_inside) return {prefix, ""};
  return {prefix, std::string(whole.substr(0, whole.size() - inner.size()))};
}

}  // namespace

std::string find_tensor_prefix(const TensorFolder& tensors, const Family& family) {
  for (const std::string& mark : marks(family)) {
    for (const std::string& prefix : ends_of_prefix(family)) {
      if (tensors.contains(prefix + mark) || tensors.is_lost(prefix + mark)) return prefix;
    }
  }
  return std::string(family.names.prefix);
}

std::string find_foreign_prefix(const TensorFolder& tensors, const Family& family) {
  for (const std::string& mark : marks(family)) {
    for (const std::string& prefix : ends_of_prefix(family)) {
      for (const std::string& name : tensors.names()) {
        if (!name.ends_with(prefix + mark)) continue;
        const std::string foreign = name.substr(0, name.size() - prefix.size() - mark.size());
        if (foreign.empty()) return "";  // the family's own names are there
        if (foreign.ends_with('.')) return foreign;
      }
    }
  }
  return "";
}

TensorFolder open_tensors(Files& files, const std::string& folder, const ModelReading& reading,
                          const Family& family, std::vector<std::string>& problems) {
  const std::string& prefix = reading.tensor_prefix;
  std::vector<std::string> of_raw;
  TensorFolder raw(files, folder, of_raw);
  if (prefix.empty()) {
    problems.insert(problems.end(), of_raw.begin(), of_raw.end());
    return raw;
  }
  std::vector<std::string> of_cut;
  const TensorFolder cut(files, folder, of_cut, {prefix, ""});
  return TensorFolder(files, folder, problems, find_rename(raw, cut, prefix, family));
}

TensorFolder open_tensors(Files& files, const std::string& folder, const ModelReading& reading,
                          const Family& family) {
  std::vector<std::string> problems;
  TensorFolder tensors = open_tensors(files, folder, reading, family, problems);
  BITMILL_CHECK(problems.empty(), FormatError, fmt::format("{}", fmt::join(problems, "\n")));
  return tensors;
}

}  // namespace bitmill
