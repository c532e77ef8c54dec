#pragma once
// The real file system, but the test decides which disks and permissions the machine has.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "forwarding_files.hpp"

namespace bitmill {

class PretendedFiles final : public ForwardingFiles {
 public:
  int64_t free = std::numeric_limits<int64_t>::max();
  std::string read_only;                    // this folder
  std::map<std::string, uint64_t> devices;  // folder -> file system; 1 elsewhere
  std::map<uint64_t, int64_t> free_on;      // file system -> bytes; `free` elsewhere

  int64_t free_bytes(const std::string& path) override {
    const auto found = free_on.find(file_system(path));
    return found == free_on.end() ? free : found->second;
  }
  bool is_writable(const std::string& path) override { return path != read_only; }
  uint64_t file_system(const std::string& path) override {
    const auto found = std::ranges::find_if(
        devices, [&](const auto& device) { return lies_in(path, device.first); });
    return found == devices.end() ? 1 : found->second;
  }
};

}  // namespace bitmill
