#pragma once
// The tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json
// lists. Only headers are held in memory; data is read (pread) when a caller asks for it.
//
// Opening the folder checks everything: header lengths, JSON, dtypes; that byte ranges agree with
// the shapes, do not overlap and end inside the file; that the index and the shards name the same
// tensors. Throws FormatError naming file, tensor and both values.
//
// A tensor may lie in several shards. The copy in the shard that the index names is read. Where
// transformers would read another one, whose bytes differ, the folder is refused.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/safetensors_file.hpp"

namespace bitmill {

class TensorFolder {
 public:
  // FormatError with everything that is wrong, one problem per line. Refuses a folder that has only
  // pytorch_model*.bin, and says what to do.
  TensorFolder(Files& files, const std::string& folder, const TensorRename& rename = {});
  // Opens what can be opened, and adds a sentence to `problems` for everything else: for callers
  // that list everything that is wrong with a model. Throws when there is nothing to open.
  TensorFolder(Files& files, const std::string& folder, std::vector<std::string>& problems,
               const TensorRename& rename = {});

  const std::string& path() const { return folder_; }
  bool contains(const std::string& name) const { return place_.contains(name); }
  // True when the tensor is missing because its shard could not be opened, as far as one can tell.
  bool is_lost(const std::string& name) const { return whole_is_lost_ || lost_.contains(name); }
  const TensorInfo& info(const std::string& name) const;  // FormatError when missing
  std::vector<std::string> names() const;                 // sorted
  // One sentence for each thing that the user should know, but that does not stop the reading.
  const std::vector<std::string>& notes() const { return notes_; }
  bool renamed() const;          // whether some tensor has another name in its file
  int64_t tensor_bytes() const;  // of all tensors
  int64_t file_bytes() const;    // of all shards, headers included
  const std::vector<std::unique_ptr<SafetensorsFile>>& shards() const { return shards_; }

  void read(const std::string& name, std::span<std::byte> into) const;
  // Bytes [first, first + into.size()) of the tensor.
  void read_part(const std::string& name, int64_t first, std::span<std::byte> into) const;
  // Any float dtype, widened. Throws NumericError naming the first element that is not finite.
  std::vector<float> read_float32(const std::string& name) const;
  // The same, into `values`, which has one float for each element. `stored`, where given, gets the
  // tensor's bytes as they were read, piece by piece, in order.
  void read_float32(const std::string& name, std::span<float> values,
                    const std::function<void(std::span<const std::byte>)>& stored = {}) const;

 private:
  void open(Files& files, const TensorRename& rename, std::vector<std::string>& problems);
  void open_shards(Files& files, const std::string& index, const TensorRename& rename,
                   std::vector<std::string>& problems);
  bool open_shard(Files& files, const std::string& path, const TensorRename& rename,
                  std::vector<std::string>& problems);
  std::string choose_copy(const std::string& name, const std::vector<size_t>& holders,
                          size_t named);
  const SafetensorsFile& shard_of(const std::string& name) const;

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::map<std::string, size_t> place_;  // tensor -> shard
  std::vector<std::string> notes_;
  std::set<std::string> lost_;
  bool whole_is_lost_ = false;
};

}  // namespace bitmill
