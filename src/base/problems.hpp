#pragma once
// Everything that is wrong, where a check that stops at the first thing would send its reader home
// as many times as there are things.

#include <string>
#include <vector>

namespace bitmill {

class Problems {
 public:
  // Begins a group: what is wrong with one place, such as a folder. What is found from here on
  // belongs to it. A group may be begun again.
  void in(const std::string& place);

  // Runs `check` and keeps what it throws as an Error, one problem for each line of its message; a
  // problem that is known already is kept once. True when nothing was thrown.
  template <class Check>
  bool attempt(Check check) {
    try {
      check();
      return true;
    } catch (...) {
      keep_current();
      return false;
    }
  }
  // Of a file; and of the user's words on the command line.
  void add(const std::string& sentence) { add(sentence, /*usage=*/false); }
  void add_usage(const std::string& sentence) { add(sentence, /*usage=*/true); }

  int count() const { return count_; }
  // Throws what was found: UsageError when all of it is, FormatError otherwise. A single problem in
  // its own words; several numbered, grouped by place, one a line. Nothing without any.
  void throw_if_any() const;

 private:
  struct Group {
    std::string place;
    std::vector<std::string> sentences;
  };

  void keep_current();  // REQUIRES: an exception is being handled; rethrows all but Error
  void add(const std::string& sentence, bool usage);

  std::vector<Group> groups_;
  size_t current_ = 0;
  int count_ = 0;
  bool all_usage_ = true;
};

}  // namespace bitmill
