#pragma once
// Where rank 0 prints: for people on one stream, for scripts on another. Other ranks have a silent
// console, so that callers need not check their rank.

#include <cstdio>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bitmill {

class Console {
 public:
  // `terminal`: `people` can show a line that is rewritten in place. Both streams must outlive the
  // console; null makes it silent.
  Console(std::FILE* people, std::FILE* scripts, bool terminal);

  bool silent() const { return people_ == nullptr; }
  bool terminal() const { return terminal_; }

  // Prints a line, or several, for people. Removes an updating line first.
  void say(std::string_view text);
  // Shows `line` in place of the last updating line. REQUIRES: terminal().
  void update(std::string_view line);
  // Prints a result for scripts, exactly as given. FileError when it cannot be written: a script
  // must not read half of it.
  void print(std::string_view text);

 private:
  void wipe();

  std::FILE* people_;
  std::FILE* scripts_;
  bool terminal_;
  bool updating_ = false;
};

// stderr and stdout for rank 0; silent for other ranks. stderr counts as a terminal when it is one
// and TERM does not say that it cannot move the cursor.
Console standard_console(int rank);

// json_text() of base/json.hpp, with a newline at its end.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace bitmill
