#pragma once
// A safetensors file that carries hashes of its content. In its metadata are the hash of each
// tensor, under the key `hashes_key` as in packed shards; the hash of all tensors together; and the
// hash of the header. No reader ever sees the file half written.

#include <map>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

struct ContentHashes {
  std::map<std::string, std::string> tensors;  // name -> hash of its bytes
  std::string content;                         // hash of names, dtypes, shapes and `tensors`
};

// Calls produce() of every tensor once.
ContentHashes hash_content(const std::vector<TensorSource>& tensors);

// Writes the file as `beside`, syncs it, renames it to `path`, and syncs the folder. Calls
// produce() of every tensor once, after hash_content() called it first: the hashes are in the
// header, before the data.
void write_hashed(Files& files, const std::string& path, const std::string& beside,
                  const std::vector<TensorSource>& tensors, const ContentHashes& hashes,
                  std::map<std::string, std::string> metadata);

// Opens the file and verifies header and tensors. FormatError naming the file and the tensor when
// bytes and hash differ, or when the recorded hashes are not for exactly the tensors of the file.
// Reads the whole file, with one tensor in memory at a time.
SafetensorsFile open_hashed(Files& files, const std::string& path);

// Opens the file and verifies only its header; does not read the tensors. For callers that need
// only the metadata.
SafetensorsFile open_header(Files& files, const std::string& path);

// The hash of every tensor, as the header records them. FormatError unless there is one for each
// tensor of the file.
std::map<std::string, std::string> recorded_hashes(const SafetensorsFile& file);

// ContentHashes::content as the file's header records it; the data is not read. FormatError when
// the header is damaged.
std::string read_content_hash(Files& files, const std::string& path);

// A whole number >= 0 in the metadata. FormatError naming file and key when there is none.
int64_t metadata_count(const SafetensorsFile& file, const std::string& key);

}  // namespace bitmill
