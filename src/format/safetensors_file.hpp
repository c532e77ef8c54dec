#pragma once
// One safetensors file: its header in memory, its data read (pread) when a caller asks for it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
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

// How the names of tensors are changed when a file is read: `put` takes the place of `cut` where a
// name begins with it. Other names stay as they are.
struct TensorRename {
  std::string cut;  // empty: nothing is changed
  std::string put;

  bool applies_to(const std::string& name) const;
  std::string operator()(const std::string& name) const;
  // What to say when two tensors of `where` become `name`.
  std::string clash(const std::string& where, const std::string& name) const;
};

// One safetensors file.
class SafetensorsFile {
 public:
  // FormatError when two tensors have the same name after `rename`.
  SafetensorsFile(Files& files, const std::string& path, const TensorRename& rename = {});

  const std::string& path() const { return file_->path(); }
  int64_t file_bytes() const { return file_->size(); }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  bool renamed() const { return renamed_; }  // whether some tensor has another name in the file

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
  bool renamed_ = false;
};

}  // namespace bitmill
