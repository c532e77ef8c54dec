#include "pipeline/checks/selection_check.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "model/family.hpp"

namespace bitmill {
namespace {

using Names = std::vector<std::string>;

constexpr std::string_view weight_suffix = ".weight";

Names linears_of(const ModelConfig& config, int64_t block) {
  Names names;
  for (const LinearShape& shape : block_linears(config, block)) names.push_back(shape.tensor);
  return names;
}

Names all_linears(const ModelConfig& config) {
  Names names;
  for (int64_t block = 0; block < config.blocks; ++block) {
    for (std::string& name : linears_of(config, block)) names.push_back(std::move(name));
  }
  return names;
}

// What is never packed. The head is among them also where it is the embedding.
Names never_packed(const ModelConfig& config) {
  Names names = {std::string(config.family->names.head) + std::string(weight_suffix)};
  for (const TensorShape& tensor : outer_tensors(config)) names.push_back(tensor.name);
  for (int64_t block = 0; block < config.blocks; ++block) {
    for (const TensorShape& tensor : block_vectors(config, block)) names.push_back(tensor.name);
  }
  return names;
}

// "down_proj" of "model.layers.3.mlp.down_proj.weight".
std::string last_part(const std::string& tensor) {
  const std::string module = tensor.substr(0, tensor.size() - weight_suffix.size());
  return module.substr(module.rfind('.') + 1);
}

// The letters of an expression that can stand in a name, its last part: "^down_porj$" ->
// "down_porj".
std::string last_word(const std::string& entry) {
  const auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  std::string word, last;
  for (const char c : entry + ".") {
    if (is_part(c)) {
      word += c;
    } else if (!word.empty()) {
      last = word;
      word.clear();
    }
  }
  return last;
}

std::string no_hit(const IgnoredLinears::Hits& missed, const ModelConfig& config,
                   const Names& linears) {
  const std::vector<IgnoredLinears::Hits> kept =
      IgnoredLinears(missed.entry).hits(never_packed(config));
  if (!kept.front().tensors.empty()) {
    return fmt::format(
        "--ignore: \"{}\" names {}, which is never packed: only the linears of the blocks are; "
        "leave it out",
        missed.entry, kept.front().tensors.front());
  }
  Names parts;
  for (const std::string& tensor : linears_of(config, 0)) parts.push_back(last_part(tensor));
  const std::string word = last_word(missed.entry);
  const bool is_part = std::ranges::find(parts, word) != parts.end();
  return fmt::format(
      "--ignore: \"{}\" names none of the {} linears, such as {}; {}", missed.entry, linears.size(),
      linears.front(),
      is_part ? fmt::format("\"{}\" alone names those of all {} blocks, and \"layers\\.3\\.\" "
                            "those of one block",
                            word, config.blocks)
              : fmt::format(
                    "the names nearest to it are {}",
                    fmt::join(nearest_names(word.empty() ? missed.entry : word, parts, 3), ", ")));
}

// "0", "1 and 10 to 19"
std::string block_list(const std::set<int64_t>& blocks) {
  std::vector<std::string> ranges;
  for (auto at = blocks.begin(); at != blocks.end();) {
    const int64_t first = *at;
    int64_t last = first;
    for (++at; at != blocks.end() && *at == last + 1; ++at) last = *at;
    ranges.push_back(first == last ? fmt::to_string(first) : fmt::format("{} to {}", first, last));
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

std::string hit_note(const IgnoredLinears::Hits& hits, const ModelConfig& config) {
  const std::set<std::string> named(hits.tensors.begin(), hits.tensors.end());
  std::set<int64_t> blocks;
  Names parts;
  for (int64_t block = 0; block < config.blocks; ++block) {
    for (const std::string& tensor : linears_of(config, block)) {
      if (!named.contains(tensor)) continue;
      blocks.insert(block);
      if (std::ranges::find(parts, last_part(tensor)) == parts.end()) {
        parts.push_back(last_part(tensor));
      }
    }
  }
  return fmt::format("--ignore \"{}\" keeps {} of {} linears as they are: {} in {} {}", hits.entry,
                     named.size(), all_linears(config).size(), fmt::join(parts, ", "),
                     blocks.size() == 1 ? "block" : "blocks", block_list(blocks));
}

}  // namespace

void check_selections(const QuantizeOptions& options, const ModelConfig& config) {
  const int64_t blocks = blocks_to_pack(options, config);
  for (const int block : options.redo_blocks) {
    BITMILL_CHECK(
        block < blocks, UsageError,
        fmt::format("--redo-blocks {}: the blocks that are packed are 0 to {}", block, blocks - 1));
  }
  if (options.ignore.empty()) return;
  const Names linears = all_linears(config);
  std::vector<std::string> missed;
  for (const IgnoredLinears::Hits& hits : options.ignore.hits(linears)) {
    if (hits.tensors.empty()) missed.push_back(no_hit(hits, config, linears));
  }
  BITMILL_CHECK(missed.empty(), UsageError, fmt::format("{}", fmt::join(missed, "\n")));
}

std::vector<std::string> selection_notes(const QuantizeOptions& options,
                                         const ModelConfig& config) {
  std::vector<std::string> notes;
  if (options.max_blocks > config.blocks) {
    notes.push_back(fmt::format("--max-blocks {}: the model has {} blocks, and all are packed",
                                options.max_blocks, config.blocks));
  }
  if (options.ignore.empty()) return notes;
  for (const IgnoredLinears::Hits& hits : options.ignore.hits(all_linears(config))) {
    notes.push_back(hit_note(hits, config));
  }
  return notes;
}

}  // namespace bitmill
