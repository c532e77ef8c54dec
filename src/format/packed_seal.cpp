#include "format/packed_seal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "format/config_file.hpp"
#include "format/safetensors_header.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using FileHashes = std::map<std::string, std::string>;  // name -> hash

constexpr const char* quantization_key = "quantization_config";
constexpr const char* hashes_name = "hashes";
constexpr const char* config_name = "config.json";

// The files that are hashed besides the tensors: the index, and the files of the tokenizer.
constexpr std::array<const char*, 8> text_files = {
    index_file_name, "tokenizer.json", "tokenizer.model",   "tokenizer_config.json",
    "vocab.json",    "merges.txt",     "added_tokens.json", "special_tokens_map.json"};

std::string hash_of(const std::string& text) { return hash_hex(std::as_bytes(std::span(text))); }

// The hash of all bytes before the data. They hold name, shape, place and hash of every tensor.
std::string hash_of_header(Files& files, const std::string& path) {
  const auto file = files.open(path);
  uint64_t length = 0;
  file->read(0, std::as_writable_bytes(std::span(&length, 1)));
  BITMILL_CHECK(length <= uint64_t{longest_header}, FormatError,
                fmt::format("{}: its header has {} bytes now; it has changed while it was read",
                            path, length));
  std::string header(header_length_bytes + length, '\0');
  file->read(0, std::as_writable_bytes(std::span(header)));
  return hash_of(header);
}

FileHashes hash_files(Files& files, const TensorFolder& tensors) {
  FileHashes hashes;
  for (const auto& shard : tensors.shards()) {
    hashes[file_name(shard->path())] = hash_of_header(files, shard->path());
  }
  for (const char* name : text_files) {
    const std::string path = join_path(tensors.path(), name);
    if (files.exists(path)) hashes[name] = hash_of(read_text(files, path));
  }
  return hashes;
}

// The hash of everything in config.json except the hashes themselves.
std::string hash_of_config(json config) {
  config[quantization_key].erase(hashes_name);
  return hash_of(config.dump());
}

std::string read_hash(const json& hashes, const std::string& name, const std::string& where) {
  const auto it = hashes.find(name);
  BITMILL_CHECK(it != hashes.end() && it->is_string(), FormatError,
                fmt::format("{}: the hash of {} is missing", where, name));
  return it->get<std::string>();
}

// One sentence for each file that is not the one that was written, is new, or is missing.
std::vector<std::string> differences(const FileHashes& found, const json& recorded,
                                     const std::string& folder) {
  std::vector<std::string> problems;
  for (const auto& [name, hash] : found) {
    const json there = recorded.value(name, json());
    if (there == hash) continue;
    problems.push_back(fmt::format(
        "{} is not the file that {} was written with: it hashes to {}, and {} was recorded; it was "
        "edited, damaged, or is another model's: copy the whole folder again",
        join_path(folder, name), config_name, hash, there.is_null() ? "nothing" : there.dump()));
  }
  for (const auto& [name, hash] : recorded.items()) {
    if (found.contains(name)) continue;
    problems.push_back(
        fmt::format("{} is missing, and {} was written with it; copy the whole "
                    "folder again",
                    join_path(folder, name), config_name));
  }
  return problems;
}

std::string place_of_hashes(const std::string& path) {
  return fmt::format("{}: {}.{}", path, quantization_key, hashes_name);
}

// `path`: that of the config.
json hashes_of(const json& config, const std::string& path) {
  const json quantization = config.value(quantization_key, json::object());
  json hashes = quantization.is_object() ? quantization.value(hashes_name, json()) : json();
  BITMILL_CHECK(hashes.is_object() && hashes.value("files", json()).is_object(), FormatError,
                place_of_hashes(path) +
                    " is missing, which says that the files of the folder belong together; "
                    "pack the model again");
  return hashes;
}

// A sentence where the config is not the one that was sealed.
std::string difference_of_config(const json& config, const json& hashes, const std::string& path) {
  const std::string found = hash_of_config(config),
                    recorded = read_hash(hashes, "config", place_of_hashes(path));
  if (found == recorded) return "";
  return fmt::format(
      "{} was edited or damaged: it hashes to {}, and {} was recorded; "
      "restore it from where the folder was made",
      path, found, recorded);
}

}  // namespace

void write_sealed_config(Files& files, const std::string& folder, json config) {
  const TensorFolder tensors(files, folder);
  const json hashes = {{"config", hash_of_config(config)}, {"files", hash_files(files, tensors)}};
  config[quantization_key][hashes_name] = hashes;
  replace_file(files, join_path(folder, config_name), config.dump(2) + "\n");
}

json read_sealed_config(Files& files, const std::string& folder) {
  json config = read_config_json(files, folder);
  const std::string path = join_path(folder, config_name);
  const std::string problem = difference_of_config(config, hashes_of(config, path), path);
  BITMILL_CHECK(problem.empty(), FormatError, problem);
  return config;
}

void write_resealed_config(Files& files, const std::string& folder, json config) {
  config[quantization_key][hashes_name]["config"] = hash_of_config(config);
  replace_file(files, join_path(folder, config_name), config.dump(2) + "\n");
}

void check_seal(Files& files, const TensorFolder& tensors) {
  const std::string path = join_path(tensors.path(), config_name);
  const json config = read_config_json(files, tensors.path());
  const json hashes = hashes_of(config, path);
  std::vector<std::string> problems =
      differences(hash_files(files, tensors), hashes["files"], tensors.path());
  const std::string edited = difference_of_config(config, hashes, path);
  if (!edited.empty()) problems.push_back(edited);
  BITMILL_CHECK(problems.empty(), FormatError, fmt::format("{}", fmt::join(problems, "\n")));
}

}  // namespace bitmill
