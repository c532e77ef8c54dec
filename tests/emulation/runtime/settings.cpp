#include "emulation/runtime/settings.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace bitmill::fake_cuda {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& value, const char* wanted) {
  std::fprintf(stderr, "emulation: %s=%s is not understood; it wants %s\n", name.c_str(),
               value.c_str(), wanted);
  std::exit(2);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 19 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr) return otherwise;
  if (!is_number(text)) refuse(name, text, "a whole number");
  return std::strtoull(text, nullptr, 10);
}

// As the driver reads it: the list ends at the first entry that names no device.
std::vector<int> visible_devices() {
  const uint64_t count = number("BITMILL_EMULATION_DEVICES", 2);
  if (count > 16) refuse("BITMILL_EMULATION_DEVICES", std::to_string(count), "at most 16");
  std::vector<int> devices;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) {
    for (uint64_t d = 0; d < count; ++d) devices.push_back(static_cast<int>(d));
    return devices;
  }
  for (const std::string& part : split(visible, ',')) {
    if (!is_number(part) || std::stoull(part) >= count) break;
    devices.push_back(std::stoi(part));
  }
  return devices;
}

std::vector<Failure> failures() {
  constexpr const char* name = "BITMILL_EMULATION_FAIL";
  std::vector<Failure> all;
  const char* text = std::getenv(name);
  if (text == nullptr) return all;
  for (const std::string& item : split(text, ',')) {
    const std::vector<std::string> parts = split(item, ':');
    if (parts.size() < 2 || parts.size() > 3 || !is_number(parts[1]) || parts[1] == "0") {
      refuse(name, item, "call:number or call:number:error, as in cudaMalloc:3");
    }
    all.push_back({parts[0], std::stoull(parts[1]), parts.size() == 3 ? parts[2] : ""});
  }
  return all;
}

std::optional<RankOperation> rank_operation(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const std::string value = text;
  const size_t colon = value.find(':');
  const std::string rank = value.substr(0, colon);
  const std::string nth = colon == std::string::npos ? "" : value.substr(colon + 1);
  if (is_number(rank) && rank.size() < 9 && nth == "init") return RankOperation{std::stoi(rank), 0};
  if (is_number(rank) && rank.size() < 9 && nth == "abort")
    return RankOperation{std::stoi(rank), -1};
  constexpr size_t most_digits = 9;  // more do not fit into an int
  if (!is_number(rank) || !is_number(nth) || nth.find_first_not_of('0') == std::string::npos ||
      std::max(rank.size(), nth.size()) > most_digits) {
    refuse(name, value,
           "rank:operation, as in 1:2; operations count from 1; rank:init while it connects, "
           "rank:abort when it gives up");
  }
  return RankOperation{std::stoi(rank), std::stoi(nth)};
}

Settings read() {
  Settings read{};
  read.devices = visible_devices();
  read.memory = number("BITMILL_EMULATION_MEMORY", uint64_t{4} << 30);
  read.delay_us = number("BITMILL_EMULATION_DELAY_US", 0);
  read.seed = number("BITMILL_EMULATION_SEED", 0);
  read.failures = failures();
  const char* leaks = std::getenv("BITMILL_EMULATION_LEAKS");
  const std::string word = leaks == nullptr ? "" : leaks;
  if (!word.empty() && word != "report" && word != "fail") {
    refuse("BITMILL_EMULATION_LEAKS", word, "report or fail");
  }
  read.report_leaks = !word.empty();
  read.fail_on_leaks = word == "fail";
  read.nccl_dies = rank_operation("BITMILL_EMULATION_NCCL_DIE");
  read.nccl_stalls = rank_operation("BITMILL_EMULATION_NCCL_STALL");
  const uint64_t silent = number("BITMILL_EMULATION_NCCL_SILENT", 0);
  if (silent > 1) refuse("BITMILL_EMULATION_NCCL_SILENT", std::to_string(silent), "0 or 1");
  read.nccl_silent = silent == 1;
  return read;
}

}  // namespace

const Settings& settings() {
  static const Settings* once = new Settings(read());  // also used while the process ends
  return *once;
}

}  // namespace bitmill::fake_cuda
