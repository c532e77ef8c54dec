#include "format/safetensors_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/pieces.hpp"
#include "format/safetensors_header.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using Metadata = std::map<std::string, std::string>;
using Sources = std::span<const TensorSource>;

constexpr size_t data_alignment = 64;
constexpr size_t hash_digits = 32;
// So that no sync takes minutes, in which the process seems to hang.
constexpr int64_t bytes_per_sync = int64_t{1} << 30;

int64_t total_bytes(Sources tensors) {
  int64_t total = 0;
  for (const TensorSource& tensor : tensors) total += tensor.bytes();
  return total;
}

void check_sources(Sources tensors, const std::string& path) {
  std::set<std::string> names;
  for (const TensorSource& tensor : tensors) {
    BITMILL_CHECK(names.insert(tensor.name).second && tensor.name != metadata_key, FormatError,
                  fmt::format("cannot write {}: the tensor name \"{}\" is {}", path, tensor.name,
                              tensor.name == metadata_key ? "reserved" : "given twice"));
    BITMILL_CHECK(tensor.dtype != Dtype::other, FormatError,
                  fmt::format("cannot write {}: tensor \"{}\" has a dtype that is not supported; "
                              "F32, F16, BF16, I32, I64 and U8 are",
                              path, tensor.name));
  }
}

std::string json_text(const json& value, const std::string& path) {
  try {
    return value.dump();
  } catch (const json::exception& error) {  // a name that is not UTF-8
    throw FormatError(fmt::format("cannot write the header of {}: {}", path, error.what()));
  }
}

// All bytes before the data: length, then JSON, then spaces until the data is aligned.
std::string header_text(const std::string& path, Sources tensors, const Metadata& metadata) {
  json header = json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  int64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    const int64_t end = offset + tensor.bytes();
    header[tensor.name] = {{"dtype", dtype_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", json::array({offset, end})}};
    offset = end;
  }
  std::string text = std::string(header_length_bytes, '\0') + json_text(header, path);
  const size_t aligned = (text.size() + data_alignment - 1) / data_alignment * data_alignment;
  text.resize(aligned, ' ');
  const uint64_t length = aligned - header_length_bytes;
  BITMILL_CHECK(
      length <= uint64_t{longest_header}, FormatError,
      fmt::format("cannot write {}: its header takes {} bytes, and at most {} are allowed; "
                  "use smaller shards",
                  path, length, longest_header));
  std::memcpy(text.data(), &length, sizeof(length));
  return text;
}

// Writes the data first and the header last, with one piece of one tensor in memory at a time. The
// size of the header is known before, because all hashes have the same number of digits. Until the
// header is written the file begins with zeros, which no reader accepts.
void write_file(Files& files, const std::string& path, Sources tensors, const Metadata& metadata,
                bool record_hashes) {
  check_sources(tensors, path);
  Metadata hashes;
  for (const TensorSource& tensor : tensors) hashes[tensor.name] = std::string(hash_digits, '0');
  const auto make_header = [&] {
    Metadata complete = metadata;
    if (record_hashes) complete[hashes_key] = json_text(hashes, path);
    return header_text(path, tensors, complete);
  };
  auto offset = static_cast<int64_t>(make_header().size());
  const int64_t data_start = offset;

  const auto file = files.create(path);
  int64_t synced = 0;
  for (const TensorSource& tensor : tensors) {
    Hasher hasher;
    const int64_t begin = offset;
    tensor.produce([&](std::span<const std::byte> piece) {
      file->write(offset, piece);
      offset += std::ssize(piece);
      if (record_hashes) hasher.add(piece);
      if (offset - synced < bytes_per_sync) return;
      file->sync();
      synced = offset;
    });
    BITMILL_CHECK(offset - begin == tensor.bytes(), FormatError,
                  fmt::format("cannot write {}: tensor \"{}\" takes {} bytes, and {} were produced",
                              path, tensor.name, tensor.bytes(), offset - begin));
    if (record_hashes) hashes[tensor.name] = hasher.hex();
  }
  const std::string header = make_header();
  BITMILL_CHECK(std::ssize(header) == data_start, FormatError,
                fmt::format("cannot write {}: its header grew from {} to {} bytes", path,
                            data_start, header.size()));
  file->write(0, std::as_bytes(std::span(header)));
  file->sync();
  file->close();
}

// Puts as many tensors into each shard as fit, at least one.
std::vector<Sources> cut_into_shards(Sources tensors, int64_t max_shard_bytes) {
  std::vector<Sources> shards;
  size_t first = 0;
  int64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (i > first && bytes + tensors[i].bytes() > max_shard_bytes) {
      shards.push_back(tensors.subspan(first, i - first));
      first = i;
      bytes = 0;
    }
    bytes += tensors[i].bytes();
  }
  shards.push_back(tensors.subspan(first));
  return shards;
}

// Gives `bytes` bytes to the sink, in pieces that read(first, piece) fills.
template <class Read>
void in_pieces(int64_t bytes, const ByteSink& sink, const Read& read) {
  std::vector<std::byte> piece;
  for_pieces(bytes, bytes_per_piece, [&](int64_t first, int64_t count) {
    piece.resize(static_cast<size_t>(count));
    read(first, std::span(piece));
    sink(piece);
  });
}

}  // namespace

int64_t TensorSource::bytes() const {
  int64_t bytes = dtype_bytes(dtype);
  for (const int64_t dim : shape) bytes *= dim;
  return bytes;
}

std::function<void(const ByteSink&)> copy_of(const TensorFolder& tensors, const std::string& name) {
  return [&tensors, name](const ByteSink& sink) {
    in_pieces(tensors.info(name).bytes, sink, [&](int64_t first, std::span<std::byte> piece) {
      tensors.read_part(name, first, piece);
    });
  };
}

std::function<void(const ByteSink&)> copy_of(std::shared_ptr<const SafetensorsFile> file,
                                             const std::string& name) {
  return [file = std::move(file), name](const ByteSink& sink) {
    const TensorInfo& info = file->info(name);
    in_pieces(info.bytes, sink, [&](int64_t first, std::span<std::byte> piece) {
      file->read_part(info, first, piece);
    });
  };
}

void write_safetensors(Files& files, const std::string& path,
                       const std::vector<TensorSource>& tensors, const Metadata& metadata) {
  write_file(files, path, tensors, metadata, false);
}

void write_shards(Files& files, const std::string& folder, const std::vector<TensorSource>& tensors,
                  const Metadata& metadata, int64_t max_shard_bytes) {
  BITMILL_CHECK(
      max_shard_bytes > 0, UsageError,
      fmt::format("the largest shard must have at least 1 byte, not {}", max_shard_bytes));
  check_sources(tensors, folder);  // a name must not occur in two shards
  const std::vector<Sources> shards = cut_into_shards(tensors, max_shard_bytes);
  if (shards.size() == 1) {
    write_file(files, join_path(folder, single_file_name), tensors, metadata, true);
    files.sync_directory(folder);
    return;
  }
  json weight_map = json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_file(files, join_path(folder, name), shards[i], metadata, true);
    for (const TensorSource& tensor : shards[i]) weight_map[tensor.name] = name;
  }
  const json index = {{"metadata", {{"total_size", total_bytes(tensors)}}},
                      {"weight_map", weight_map}};
  replace_file(files, join_path(folder, index_file_name), index.dump(2) + "\n");
}

}  // namespace bitmill
