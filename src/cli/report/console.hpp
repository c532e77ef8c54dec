#pragma once
// Where rank 0 speaks: to people on one stream, to scripts on the other. Other ranks hold a silent
// one, so that no caller asks for its rank.

#include <cstdio>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bitmill {

class Console {
 public:
  // `terminal`: `people` shows a line that is rewritten in place. Both streams outlive the console;
  // null makes it silent.
  Console(std::FILE* people, std::FILE* scripts, bool terminal);

  bool silent() const { return people_ == nullptr; }
  bool terminal() const { return terminal_; }

  // A line, or several, for people. An updating line is wiped first.
  void say(std::string_view text);
  // Shows `line` in the place of the updating line before it. REQUIRES: terminal().
  void update(std::string_view line);
  // A result, exactly as given. FileError when it cannot be written: a script must not read half.
  void print(std::string_view text);

 private:
  void wipe();

  std::FILE* people_;
  std::FILE* scripts_;
  bool terminal_;
  bool updating_ = false;
};

// stderr and stdout for rank 0; silent for any other. stderr is taken for a terminal when it is one
// and TERM does not say that it cannot move the cursor.
Console standard_console(int rank);

// One JSON object as a script reads it: on one line, ended by a newline. Paths may hold bytes that
// are not UTF-8: they become U+FFFD. Numbers that are not finite become null.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace bitmill
