#include "checkpoint/hashed_tensors.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The key of the header's hash, which covers everything but the tensors' bytes: the counts in the
// metadata are a part of the state, too.
constexpr const char* header_hash_key = "bitmill.header";
constexpr const char* content_hash_key = "bitmill.content";

void add_info(Hasher& hasher, const TensorInfo& info) {
  hasher.add_text(info.name);
  hasher.add_text(dtype_name(info.dtype));
  hasher.add(std::as_bytes(std::span(info.shape)));
}

// Sorted by name, in the same order as the tensors of a SafetensorsFile.
std::map<std::string, TensorInfo> infos_of(const std::vector<TensorSource>& tensors) {
  std::map<std::string, TensorInfo> infos;
  for (const TensorSource& tensor : tensors) {
    TensorInfo& info = infos[tensor.name];
    info.name = tensor.name;
    info.dtype = tensor.dtype;
    info.shape = tensor.shape;
  }
  return infos;
}

std::string header_hash(const std::map<std::string, std::string>& metadata,
                        const std::map<std::string, TensorInfo>& tensors) {
  Hasher hasher;
  for (const auto& [key, value] : metadata) {
    if (key == header_hash_key) continue;
    hasher.add_text(key);
    hasher.add_text(value);
  }
  for (const auto& [name, info] : tensors) add_info(hasher, info);
  return hasher.hex();
}

void verify_header(const SafetensorsFile& file) {
  const auto recorded = file.metadata().find(header_hash_key);
  BITMILL_CHECK(recorded != file.metadata().end(), FormatError,
                fmt::format("{}: the metadata \"{}\" is missing", file.path(), header_hash_key));
  const std::string found = header_hash(file.metadata(), file.tensors());
  BITMILL_CHECK(found == recorded->second, FormatError,
                fmt::format("{}: the header is damaged: it hashes to {}, and {} was recorded",
                            file.path(), found, recorded->second));
}

void verify_tensors(const SafetensorsFile& file) {
  const std::map<std::string, std::string> hashes = recorded_hashes(file);
  std::vector<std::byte> data;
  for (const auto& [name, info] : file.tensors()) {
    const std::string& expected = hashes.at(name);
    data.resize(static_cast<size_t>(info.bytes));
    file.read(info, data);
    const std::string found = hash_hex(data);
    BITMILL_CHECK(found == expected, FormatError,
                  fmt::format("{}: tensor \"{}\" is damaged: its bytes hash to {}, and {} was "
                              "recorded",
                              file.path(), name, found, expected));
  }
}

}  // namespace

std::map<std::string, std::string> recorded_hashes(const SafetensorsFile& file) {
  const std::string where = fmt::format("{}: the metadata \"{}\"", file.path(), hashes_key);
  const auto recorded = file.metadata().find(hashes_key);
  BITMILL_CHECK(recorded != file.metadata().end(), FormatError, where + " is missing");
  const json hashes = parse_json(recorded->second, where);
  BITMILL_CHECK(hashes.is_object() && hashes.size() == file.tensors().size(), FormatError,
                fmt::format("{} must be an object with a hash for each of {} tensors", where,
                            file.tensors().size()));
  std::map<std::string, std::string> all;
  for (const auto& [name, info] : file.tensors()) {
    all[name] = json_string(hashes, name.c_str(), where);
  }
  return all;
}

ContentHashes hash_content(const std::vector<TensorSource>& tensors) {
  ContentHashes hashes;
  for (const TensorSource& tensor : tensors) {
    Hasher own;
    tensor.produce([&](std::span<const std::byte> piece) { own.add(piece); });
    hashes.tensors[tensor.name] = own.hex();
  }
  Hasher hasher;
  for (const auto& [name, info] : infos_of(tensors)) {
    add_info(hasher, info);
    hasher.add_text(hashes.tensors.at(name));
  }
  hashes.content = hasher.hex();
  return hashes;
}

void write_hashed(Files& files, const std::string& path, const std::string& beside,
                  const std::vector<TensorSource>& tensors, const ContentHashes& hashes,
                  std::map<std::string, std::string> metadata) {
  metadata[hashes_key] = json(hashes.tensors).dump();
  metadata[content_hash_key] = hashes.content;
  metadata[header_hash_key] = header_hash(metadata, infos_of(tensors));
  write_safetensors(files, beside, tensors, metadata);
  files.rename(beside, path);
  files.sync_directory(parent_path(path));
}

SafetensorsFile open_header(Files& files, const std::string& path) {
  SafetensorsFile file(files, path);
  verify_header(file);
  return file;
}

SafetensorsFile open_hashed(Files& files, const std::string& path) {
  SafetensorsFile file = open_header(files, path);
  verify_tensors(file);
  return file;
}

std::string read_content_hash(Files& files, const std::string& path) {
  const SafetensorsFile file = open_header(files, path);
  const auto entry = file.metadata().find(content_hash_key);
  BITMILL_CHECK(entry != file.metadata().end(), FormatError,
                fmt::format("{}: the metadata \"{}\" is missing", path, content_hash_key));
  return entry->second;
}

int64_t metadata_count(const SafetensorsFile& file, const std::string& key) {
  const auto entry = file.metadata().find(key);
  BITMILL_CHECK(entry != file.metadata().end(), FormatError,
                fmt::format("{}: the metadata \"{}\" is missing", file.path(), key));
  const std::string& text = entry->second;
  int64_t count = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  BITMILL_CHECK(error == std::errc() && end == text.data() + text.size() && count >= 0, FormatError,
                fmt::format("{}: the metadata \"{}\" must be a whole number, and is \"{}\"",
                            file.path(), key, text));
  return count;
}

}  // namespace bitmill
