#include "checkpoint/frontier_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

constexpr const char* stream_key = "bitmill.stream";
constexpr const char* made_by_key = "bitmill.made_by";
constexpr std::string_view part_ending = ".safetensors";

// "student-0012.1.0002.safetensors" -> "student-0012.1". Of any other name, the whole of it.
std::string stream_of_part(const std::string& name) {
  if (!name.ends_with(part_ending)) return name;
  const size_t dot = name.rfind('.', name.size() - part_ending.size() - 1);
  return dot == name.npos ? name : name.substr(0, dot);
}

std::string text_of(const SafetensorsFile& file, const char* key) {
  const auto entry = file.metadata().find(key);
  BITMILL_CHECK(entry != file.metadata().end(), FormatError,
                fmt::format("{}: the metadata \"{}\" is missing", file.path(), key));
  return entry->second;
}

// Adds a part whose header can be read.
void add_part(const SafetensorsFile& part, const std::string& name, std::set<std::string>& samples,
              KeptStream& stream) {
  const std::string own = text_of(part, stream_key), made_by = text_of(part, made_by_key);
  BITMILL_CHECK(own == name, FormatError,
                fmt::format("{}: it belongs to the stream \"{}\"", part.path(), own));
  if (samples.empty()) stream.made_by = made_by;
  BITMILL_CHECK(made_by == stream.made_by, FormatError,
                fmt::format("{}: other blocks have made it than the other parts", part.path()));
  for (const auto& [sample, info] : part.tensors()) {
    BITMILL_CHECK(samples.insert(sample).second, FormatError,
                  fmt::format("{}: another part has sample {}, too", part.path(), sample));
    stream.bytes += info.bytes;
  }
  stream.samples = std::ssize(samples);
}

}  // namespace

std::string packed_chain(const RunState& state, int block, int turn) {
  Hasher hasher;
  for (int before = 0; before < block; ++before) {
    hasher.add_text(read_content_hash(state.files(), state.packed_path(before, turn)));
  }
  return hasher.hex();
}

FrontierFiles::FrontierFiles(Files& files, Claim& claim) : files_(files), claim_(claim) {}

std::string FrontierFiles::folder() const {
  return join_path(claim_.state_path(), layout::streams);
}

std::map<std::string, KeptStream> FrontierFiles::list() const {
  std::map<std::string, KeptStream> streams;
  std::map<std::string, std::set<std::string>> samples;
  for (const std::string& file : files_.list(folder())) {
    const std::string name = stream_of_part(file);
    KeptStream& stream = streams[name];
    stream.parts.push_back(join_path(folder(), file));
    if (!stream.trouble.empty()) continue;
    try {
      add_part(open_header(files_, stream.parts.back()), name, samples[name], stream);
    } catch (const FileError& error) {
      stream.trouble = error.what();
    } catch (const FormatError& error) {
      stream.trouble = error.what();
    }
  }
  return streams;
}

void FrontierFiles::write_part(const std::string& name, const std::string& made_by, int replica,
                               const std::vector<TensorSource>& samples) {
  if (samples.empty()) return;
  claim_.check();
  const std::string path =
      join_path(folder(), fmt::format("{}.{:04}{}", name, replica, part_ending));
  const std::string beside = claim_.beside(path);
  try {
    write_hashed(files_, path, beside, samples, hash_content(samples),
                 {{stream_key, name}, {made_by_key, made_by}});
  } catch (const FileError&) {
    // A full disk needs the room; where this fails, too, the next start removes it.
    try {
      if (files_.exists(beside)) files_.remove(beside);
    } catch (const FileError&) {
    }
    throw;
  }
}

int64_t FrontierFiles::free_bytes() const { return files_.free_bytes(folder()); }

void FrontierFiles::remove(const KeptStream& stream) {
  claim_.check();
  for (const std::string& path : stream.parts) files_.remove(path);
  files_.sync_directory(folder());
}

FrontierReader::FrontierReader(const FrontierFiles& files, const KeptStream& stream) {
  for (const std::string& path : stream.parts) {
    SafetensorsFile file = open_header(files.files_, path);
    std::map<std::string, std::string> hashes = recorded_hashes(file);
    parts_.push_back({std::move(file), std::move(hashes)});
  }
}

void FrontierReader::read(int64_t sample, std::span<std::byte> into) const {
  const std::string name = std::to_string(sample);
  for (const Part& part : parts_) {
    const auto info = part.file.tensors().find(name);
    if (info == part.file.tensors().end()) continue;
    BITMILL_CHECK(info->second.bytes == std::ssize(into), FormatError,
                  fmt::format("{}: sample {} has {} bytes, and {} belong there", part.file.path(),
                              name, info->second.bytes, into.size()));
    part.file.read(info->second, into);
    const std::string found = hash_hex(into);
    BITMILL_CHECK(found == part.hashes.at(name), FormatError,
                  fmt::format("{}: sample {} is damaged: its bytes hash to {}, and {} was recorded",
                              part.file.path(), name, found, part.hashes.at(name)));
    return;
  }
  throw FormatError(fmt::format("no part of the kept stream has sample {}", sample));
}

}  // namespace bitmill
