#include "cli/report/console.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

// To the first column, and clear to the end of the line (ECMA-48 EL).
constexpr std::string_view wipe_line = "\r\x1b[K";

void write(std::FILE* stream, std::string_view text) {
  // An error is ignored: no result depends on what people are told.
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

Console::Console(std::FILE* people, std::FILE* scripts, bool terminal)
    : people_(people), scripts_(scripts), terminal_(terminal && people != nullptr) {}

void Console::say(std::string_view text) {
  if (silent()) return;
  wipe();
  write(people_, text.ends_with('\n') ? std::string(text) : std::string(text) + "\n");
}

void Console::update(std::string_view line) {
  if (silent()) return;
  updating_ = true;
  write(people_, std::string(wipe_line) + std::string(line));
}

void Console::print(std::string_view text) {
  if (silent()) return;
  wipe();
  const size_t written = std::fwrite(text.data(), 1, text.size(), scripts_);
  BITMILL_CHECK(written == text.size() && std::fflush(scripts_) == 0, FileError,
                fmt::format("cannot write the result to standard output: {}",
                            std::generic_category().message(errno)));
}

void Console::wipe() {
  if (updating_) write(people_, wipe_line);
  updating_ = false;
}

Console standard_console(int rank) {
  if (rank != 0) return Console(nullptr, nullptr, false);
  const char* const term = std::getenv("TERM");
  const bool can_rewrite = term != nullptr && std::string_view(term) != "dumb";
  return Console(stderr, stdout, can_rewrite && ::isatty(STDERR_FILENO) == 1);
}

std::string json_line(const nlohmann::ordered_json& object) { return json_text(object) + "\n"; }

}  // namespace bitmill
