#pragma once
// Computes the hashes again after a mutation, so that the code behind their check is reached.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/hash.hpp"
#include "base/json.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill::fuzz {

inline std::vector<TensorSource> sources_of(const SafetensorsFile& file) {
  std::vector<TensorSource> sources;
  for (const auto& [name, info] : file.tensors()) {
    std::vector<std::byte> raw(info.bytes);
    file.read(info, raw);
    sources.push_back({name, info.dtype, info.shape, [raw](const ByteSink& sink) { sink(raw); }});
  }
  return sources;
}

// For a shard of a packed folder. Throws when it is no safetensors file.
inline void reseal_shard(Files& files, const std::string& path) {
  const SafetensorsFile file(files, path);
  auto metadata = file.metadata();
  const auto sources = sources_of(file);
  metadata[hashes_key] = nlohmann::json(hash_content(sources).tensors).dump();
  write_safetensors(files, path + ".new", sources, metadata);
  files.rename(path + ".new", path);
}

// For the file of a block in a run folder.
inline void reseal_block(Files& files, const std::string& path) {
  const SafetensorsFile file(files, path);
  const auto sources = sources_of(file);
  write_hashed(files, path, path + ".new", sources, hash_content(sources), file.metadata());
}

// For a hashed JSON file: {"content": ..., "hash": ...}, or the content alone.
inline void reseal_json(Files& files, const std::string& path) {
  nlohmann::json content = parse_json(read_text(files, path), path);
  if (content.is_object() && content.contains("content")) content = content["content"];
  write_hashed_json(files, path, path + ".new", content);
}

}  // namespace bitmill::fuzz
