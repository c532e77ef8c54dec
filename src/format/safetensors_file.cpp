#include "format/safetensors_file.hpp"

#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "base/error.hpp"
#include "format/safetensors_header.hpp"

namespace bitmill {

int64_t TensorInfo::elements() const {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

bool TensorRename::applies_to(const std::string& name) const {
  return !cut.empty() && name.starts_with(cut);
}

std::string TensorRename::operator()(const std::string& name) const {
  return applies_to(name) ? put + name.substr(cut.size()) : name;
}

std::string TensorRename::clash(const std::string& where, const std::string& name) const {
  return fmt::format(
      "{}: two tensors are named \"{}\" when \"{}\" is cut off: give another --tensor-prefix, or "
      "none",
      where, name, cut);
}

SafetensorsFile::SafetensorsFile(Files& files, const std::string& path, const TensorRename& rename)
    : file_(files.open(path)) {
  SafetensorsHeader header = read_safetensors_header(*file_);
  metadata_ = std::move(header.metadata);
  for (auto& [name, info] : header.tensors) {
    info.name = rename(name);
    renamed_ = renamed_ || rename.applies_to(name);
    const std::string renamed = info.name;
    BITMILL_CHECK(tensors_.emplace(renamed, std::move(info)).second, FormatError,
                  rename.clash(path, renamed));
  }
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  const auto it = tensors_.find(name);
  BITMILL_CHECK(it != tensors_.end(), FormatError,
                fmt::format("{} holds no tensor \"{}\"", path(), name));
  return it->second;
}

void SafetensorsFile::read(const TensorInfo& info, std::span<std::byte> into) const {
  assert(std::cmp_equal(into.size(), info.bytes));
  read_part(info, 0, into);
}

void SafetensorsFile::read_part(const TensorInfo& info, int64_t first,
                                std::span<std::byte> into) const {
  assert(first >= 0 && first + std::ssize(into) <= info.bytes);
  file_->read(info.offset + first, into);
}

}  // namespace bitmill
