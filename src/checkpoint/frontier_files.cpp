#include "checkpoint/frontier_files.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/hashed_tensors.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// More replicas than any job has.
constexpr size_t most_parts = 100'000;

int small_count(const json& content, const char* key, const std::string& path) {
  const int64_t value = json_int(content, key, path);
  constexpr int64_t most = 1'000'000;
  BITMILL_CHECK(0 <= value && value <= most, FormatError,
                fmt::format("{}: \"{}\" cannot be {}", path, key, value));
  return static_cast<int>(value);
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

std::string FrontierFiles::manifest_path() const { return join_path(folder(), layout::frontier); }

std::string FrontierFiles::part_path(int replica) const {
  return join_path(folder(), fmt::format("{:04}.safetensors", replica));
}

std::optional<Frontier> FrontierFiles::kept() const {
  const std::string path = manifest_path();
  if (!files_.exists(path)) return std::nullopt;
  const json content = read_hashed_json(files_, path);
  Frontier frontier;
  frontier.block = small_count(content, "block", path);
  frontier.turn = small_count(content, "turn", path);
  frontier.targets = json_bool_or(content, "targets", false, path);
  frontier.bytes = json_int(content, "bytes", path);
  frontier.made_by = json_string(content, "made_by", path);
  for (const json& part : content.value("parts", json::array())) {
    BITMILL_CHECK(part.is_string(), FormatError, path + ": \"parts\" must be a list of hashes");
    frontier.parts.push_back(part.get<std::string>());
  }
  BITMILL_CHECK(
      frontier.bytes >= 0 && !frontier.parts.empty() && frontier.parts.size() <= most_parts,
      FormatError, path + ": impossible sizes");
  return frontier;
}

void FrontierFiles::forget() {
  claim_.check();
  if (!files_.exists(manifest_path())) return;
  files_.remove(manifest_path());
  files_.sync_directory(folder());
}

std::string FrontierFiles::write_part(int replica, const std::vector<TensorSource>& tensors) {
  claim_.check();
  const ContentHashes hashes = hash_content(tensors);
  const std::string path = part_path(replica);
  write_hashed(files_, path, claim_.beside(path), tensors, hashes, {});
  return hashes.content;
}

void FrontierFiles::keep(const Frontier& frontier) {
  claim_.check();
  const std::string path = manifest_path();
  write_hashed_json(files_, path, claim_.beside(path),
                    {{"block", frontier.block},
                     {"turn", frontier.turn},
                     {"targets", frontier.targets},
                     {"bytes", frontier.bytes},
                     {"made_by", frontier.made_by},
                     {"parts", frontier.parts}});
}

void FrontierFiles::remove_other_parts(const Frontier& frontier) {
  for (const std::string& name : files_.list(folder())) {
    bool belongs = name == layout::frontier;
    for (size_t replica = 0; replica < frontier.parts.size() && !belongs; ++replica) {
      belongs = name == file_name(part_path(static_cast<int>(replica)));
    }
    if (!belongs) files_.remove(join_path(folder(), name));
  }
}

FrontierReader::FrontierReader(const FrontierFiles& files, const Frontier& frontier) {
  for (size_t replica = 0; replica < frontier.parts.size(); ++replica) {
    const std::string path = files.part_path(static_cast<int>(replica));
    const std::string found = read_content_hash(files.files_, path);
    BITMILL_CHECK(found == frontier.parts[replica], FormatError,
                  fmt::format("{}: its content hashes to {}, and {} was kept", path, found,
                              frontier.parts[replica]));
    SafetensorsFile file = open_header(files.files_, path);
    std::map<std::string, std::string> hashes = recorded_hashes(file);
    parts_.push_back({std::move(file), std::move(hashes)});
  }
}

void FrontierReader::read(const std::string& name, std::span<std::byte> into) const {
  for (const Part& part : parts_) {
    const auto info = part.file.tensors().find(name);
    if (info == part.file.tensors().end()) continue;
    BITMILL_CHECK(info->second.bytes == std::ssize(into), FormatError,
                  fmt::format("{}: \"{}\" has {} bytes, and {} belong there", part.file.path(),
                              name, info->second.bytes, into.size()));
    part.file.read(info->second, into);
    const std::string found = hash_hex(into);
    BITMILL_CHECK(found == part.hashes.at(name), FormatError,
                  fmt::format("{}: tensor \"{}\" is damaged: its bytes hash to {}, and {} was "
                              "recorded",
                              part.file.path(), name, found, part.hashes.at(name)));
    return;
  }
  throw FormatError(fmt::format("no part of the kept streams has \"{}\"", name));
}

}  // namespace bitmill
