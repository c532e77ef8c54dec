#pragma once
// A safetensors file that carries the hash of each of its tensors, under the metadata key
// `hashes_key` as in packed shards, of all of them together, and of its header; and that is never
// seen half written.

#include <map>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

struct ContentHashes {
  std::map<std::string, std::string> tensors;  // name -> hash of its bytes
  std::string content;                         // over names, dtypes, shapes and those hashes
};

// Every tensor is produced once.
ContentHashes hash_content(const std::vector<TensorSource>& tensors);

// Written as `beside`, synced, renamed to `path`; then the folder is synced. Every tensor is
// produced once more: hashes stand in the header, before the data.
void write_hashed(Files& files, const std::string& path, const std::string& beside,
                  const std::vector<TensorSource>& tensors, const ContentHashes& hashes,
                  std::map<std::string, std::string> metadata);

// FormatError naming the file, and the tensor, when bytes and hash differ, or when the recorded
// hashes are not those of exactly its tensors. Reads the whole file, one tensor in memory at a
// time.
SafetensorsFile open_hashed(Files& files, const std::string& path);

// With its header verified and its data not read: for what stands in the metadata.
SafetensorsFile open_header(Files& files, const std::string& path);

// ContentHashes::content as the file's header records it, whatever became of the data. FormatError
// when the header is damaged.
std::string read_content_hash(Files& files, const std::string& path);

// A whole number >= 0 that the writer left in the metadata. FormatError naming file and key.
int64_t metadata_count(const SafetensorsFile& file, const std::string& key);

}  // namespace bitmill
