#pragma once
// The tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json
// lists. Only headers are held in memory; data is read (pread) when a caller asks for it.
//
// Opening the folder checks everything: header lengths, JSON, dtypes; that byte ranges agree with
// the shapes, do not overlap and end inside the file; that the index and the shards name the same
// tensors. Throws FormatError naming file, tensor and both values.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/dtype.hpp"

namespace bitmill {

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::other;
  std::string dtype_text;      // as the file has it
  std::vector<int64_t> shape;  // all >= 0
  int64_t offset = 0;          // absolute, bytes from the start of its file
  int64_t bytes = 0;

  int64_t elements() const;
};

// One safetensors file.
class SafetensorsFile {
 public:
  SafetensorsFile(Files& files, const std::string& path);

  const std::string& path() const { return file_->path(); }
  int64_t file_bytes() const { return file_->size(); }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // FormatError when there is no such tensor.
  const TensorInfo& info(const std::string& name) const;
  // Both are safe from several threads. into.size() == info.bytes.
  void read(const TensorInfo& info, std::span<std::byte> into) const;
  // Reads into.size() bytes, beginning at byte `first` of the tensor. REQUIRES: all lie inside it.
  void read_part(const TensorInfo& info, int64_t first, std::span<std::byte> into) const;

 private:
  std::unique_ptr<InputFile> file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

class TensorFolder {
 public:
  // FormatError with everything that is wrong, one problem per line. Refuses a folder that has only
  // pytorch_model*.bin, and says what to do.
  TensorFolder(Files& files, const std::string& folder);
  // Opens what can be opened, and adds a sentence to `problems` for everything else: for callers
  // that list everything that is wrong with a model. Throws when there is nothing to open.
  TensorFolder(Files& files, const std::string& folder, std::vector<std::string>& problems);

  const std::string& path() const { return folder_; }
  bool contains(const std::string& name) const { return place_.contains(name); }
  // True when the tensor is missing because its shard could not be opened, as far as one can tell.
  bool is_lost(const std::string& name) const { return whole_is_lost_ || lost_.contains(name); }
  const TensorInfo& info(const std::string& name) const;  // FormatError when missing
  std::vector<std::string> names() const;                 // sorted
  int64_t tensor_bytes() const;                           // of all tensors
  int64_t file_bytes() const;                             // of all shards, headers included
  const std::vector<std::unique_ptr<SafetensorsFile>>& shards() const { return shards_; }

  void read(const std::string& name, std::span<std::byte> into) const;
  // Bytes [first, first + into.size()) of the tensor.
  void read_part(const std::string& name, int64_t first, std::span<std::byte> into) const;
  // Any float dtype, widened. Throws NumericError naming the first element that is not finite.
  std::vector<float> read_float32(const std::string& name) const;
  // The same, into `values`, which has one float for each element.
  void read_float32(const std::string& name, std::span<float> values) const;

 private:
  void open(Files& files, std::vector<std::string>& problems);
  bool open_shard(Files& files, const std::string& path, std::vector<std::string>& problems);
  const SafetensorsFile& shard_of(const std::string& name) const;

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::map<std::string, size_t> place_;  // tensor -> shard
  std::set<std::string> lost_;
  bool whole_is_lost_ = false;
};

}  // namespace bitmill
