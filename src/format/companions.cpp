#include "format/companions.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "format/handover/loading_keys.hpp"

namespace bitmill {
namespace {

constexpr int64_t bytes_per_copy = int64_t{16} << 20;
constexpr const char* template_folder = "additional_chat_templates";  // the name in transformers
constexpr const char* template_ending = ".jinja";

constexpr auto weight_endings = std::to_array<std::string_view>(
    {".safetensors", ".index.json", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"});

// Files that are read, or that a model's publisher puts beside it and that say nothing about what
// is computed.
constexpr auto known_files = std::to_array<std::string_view>(
    {".gitattributes", ".gitignore", "added_tokens.json", "chat_template.jinja",
     "chat_template.json", "configuration.json", "generation_config.json", "merges.txt",
     "special_tokens_map.json", "tekken.json", "tokenizer.json", "tokenizer.model",
     "tokenizer.model.v3", "tokenizer_config.json", "trainer_state.json", "vocab.json"});
constexpr auto document_endings = std::to_array<std::string_view>(
    {".md", ".txt", ".pdf", ".png", ".jpg", ".jpeg", ".gif", ".svg", "_results.json"});
constexpr auto document_beginnings =
    std::to_array<std::string_view>({"LICENSE", "LICENCE", "NOTICE", "README"});

bool ends_with_one_of(const std::string& name, std::span<const std::string_view> endings) {
  return std::ranges::any_of(endings, [&](std::string_view end) { return name.ends_with(end); });
}

bool is_companion(const std::string& name) {
  return name != "config.json" && name != python_file_name &&
         !ends_with_one_of(name, weight_endings);
}

bool is_known(const std::string& name) {
  return std::ranges::find(known_files, name) != known_files.end() ||
         ends_with_one_of(name, document_endings) ||
         std::ranges::any_of(document_beginnings,
                             [&](std::string_view begin) { return name.starts_with(begin); });
}

// Paths below the folder.
std::vector<std::string> companions(Files& files, const std::string& folder) {
  std::vector<std::string> names = files.list(folder);
  std::erase_if(names, [&](const std::string& name) {
    return !is_companion(name) || files.is_directory(join_path(folder, name));
  });
  const std::string templates = join_path(folder, template_folder);
  if (!files.is_directory(templates)) return names;
  for (const std::string& name : files.list(templates)) {
    if (name.ends_with(template_ending)) names.push_back(join_path(template_folder, name));
  }
  return names;
}

void copy_file(Files& files, const std::string& from, const std::string& to) {
  const auto source = files.open(from);
  const auto target = files.create(to);
  std::vector<std::byte> buffer(std::min(source->size(), bytes_per_copy));
  for_pieces(source->size(), bytes_per_copy, [&](int64_t first, int64_t count) {
    const auto piece = std::span(buffer).first(count);
    source->read(first, piece);
    target->append(piece);
  });
  target->sync();
  target->close();
}

// "a, b, c and 4 more"
std::string listed(const std::vector<std::string>& names) {
  constexpr size_t most = 10;
  const auto some = std::span(names).first(std::min(most, names.size()));
  return fmt::format("{}{}", fmt::join(some, ", "),
                     names.size() > most ? fmt::format(" and {} more", names.size() - most) : "");
}

}  // namespace

void copy_companion_files(Files& files, const std::string& from, const std::string& to) {
  const std::vector<std::string> names = companions(files, from);
  const std::string templates = join_path(to, template_folder);
  const bool has_templates = std::ranges::any_of(
      names, [](const std::string& name) { return parent_path(name) == template_folder; });
  if (has_templates) files.make_directories(templates);
  for (const std::string& name : names) {
    copy_file(files, join_path(from, name), join_path(to, name));
  }
  if (has_templates) files.sync_directory(templates);
}

std::vector<std::string> companion_problems(Files& files, const std::string& from) {
  std::vector<std::string> problems;
  for (const std::string& name : companions(files, from)) {
    try {
      files.open(join_path(from, name));
    } catch (const FileError& error) {
      problems.push_back(fmt::format("{}; the result gets a copy of this file: repair or remove it",
                                     error.what()));
    }
  }
  return problems;
}

std::vector<std::string> companion_notes(Files& files, const TensorFolder& tensors) {
  std::vector<std::string> weights, folders, code, unknown;
  for (const std::string& name : files.list(tensors.path())) {
    const std::string path = join_path(tensors.path(), name);
    const bool is_read = std::ranges::any_of(
        tensors.shards(), [&](const auto& shard) { return shard->path() == path; });
    if (is_read || name == "config.json" || name == "model.safetensors.index.json") continue;
    if (name == python_file_name) continue;  // a packed result gets its own
    if (files.is_directory(path)) {
      if (name != template_folder && !name.starts_with(".")) folders.push_back(name);
    } else if (!is_companion(name)) {
      weights.push_back(name);
    } else if (name.ends_with(".py")) {
      code.push_back(name);
    } else if (!is_known(name)) {
      unknown.push_back(name);
    }
  }
  std::vector<std::string> notes;
  const auto note = [&](const char* what, const std::vector<std::string>& names) {
    if (names.empty()) return;
    notes.push_back(fmt::format("in {}, {}: {}", tensors.path(), what, listed(names)));
  };
  note("weights that are not read, and that a result does not get", weights);
  note("folders that are not read, and that a result does not get", folders);
  note("Python code that is not run; a result gets it", code);
  note("files that bitmill does not know and does not read; a result gets them", unknown);
  return notes;
}

void check_no_adapter(Files& files, const std::string& folder) {
  const std::string path = join_path(folder, "adapter_config.json");
  BITMILL_CHECK(
      !files.exists(path), FormatError,
      fmt::format("{} lies beside the model: transformers adds this adapter to the weights, and "
                  "bitmill does not. Merge it, in Python: AutoPeftModelForCausalLM.from_pretrained"
                  "(folder).merge_and_unload().save_pretrained(new_folder). Or move the files of "
                  "the adapter (adapter_*) to another folder, to take the model without it",
                  path));
}

}  // namespace bitmill
