#include "checkpoint/holder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/json.hpp"

namespace bitmill {
namespace {

// Reads without Files: files of /proc have no size, and do not belong to a run.
std::string read_kernel_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return "";
  std::array<char, 1024> space = {};
  const ssize_t length = ::read(descriptor, space.data(), space.size());
  ::close(descriptor);
  std::string text(space.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string this_machine() {
  std::array<char, 64> space = {};
  const ssize_t length = ::readlink("/proc/self/ns/pid", space.data(), space.size() - 1);
  return read_kernel_file("/proc/sys/kernel/random/boot_id") + " " +
         (length > 0 ? std::string(space.data(), static_cast<size_t>(length)) : "");
}

struct ProcessEntry {
  char state = '\0';  // '\0': there is no such process
  std::string begun;
};

// Fields 3 and 22 of /proc/PID/stat. The search begins behind the last ")", because field 2, a name
// in parentheses, may hold any characters.
ProcessEntry look_up(int64_t pid) {
  const std::string text = read_kernel_file(fmt::format("/proc/{}/stat", pid));
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream fields(text.substr(name_end + 1));
  ProcessEntry entry;
  fields >> entry.state;
  for (int field = 4; field <= 22; ++field) fields >> entry.begun;
  return entry;
}

std::string random_token() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", source(), source(), source(), source());
}

}  // namespace

Holder this_process(const std::string& host, const std::string& job) {
  const int64_t pid = ::getpid();
  return {host, pid, job, this_machine(), look_up(pid).begun, random_token()};
}

double process_age_s() {
  const std::string begun = look_up(::getpid()).begun;
  timespec now = {};
  if (begun.empty() || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double begun_s = std::stod(begun) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - begun_s;
}

bool is_same_process(const Holder& a, const Holder& b) {
  return a.host == b.host && a.pid == b.pid && a.machine == b.machine && a.begun == b.begun;
}

bool is_gone(const Holder& holder) {
  if (holder.machine.empty() || holder.machine != this_machine()) return false;
  const ProcessEntry now = look_up(holder.pid);
  const bool ended = now.state == '\0' || now.state == 'Z' || now.state == 'X';
  return ended || now.begun != holder.begun;
}

std::string describe(const Holder& holder) {
  std::string text = fmt::format("process {} on {}", holder.pid, holder.host);
  if (!holder.job.empty()) text += fmt::format(", job {}", holder.job);
  return text;
}

nlohmann::json to_json(const Holder& holder) {
  return {{"host", holder.host},       {"pid", holder.pid},     {"job", holder.job},
          {"machine", holder.machine}, {"begun", holder.begun}, {"token", holder.token}};
}

Holder holder_from_json(const nlohmann::json& json, const std::string& where) {
  return {json_string(json, "host", where),  json_int(json, "pid", where),
          json_string(json, "job", where),   json_string(json, "machine", where),
          json_string(json, "begun", where), json_string(json, "token", where)};
}

}  // namespace bitmill
