#pragma once
// Collects everything that is wrong, and reports it at once. A check that stops at the first
// problem would make the user start again for each further one.

#include <string>
#include <vector>

namespace bitmill {

class Problems {
 public:
  // Begins the group of one place, such as a folder: problems that are found from here on belong to
  // it. A group may be begun again.
  void in(const std::string& place);

  // Runs `check`. When it throws an Error, keeps every line of the message as one problem; a
  // problem that is known already is not kept again. True when nothing was thrown.
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
  // add(): a problem of a file. add_usage(): a problem of the command line.
  void add(const std::string& sentence) { add(sentence, /*usage=*/false); }
  void add_usage(const std::string& sentence) { add(sentence, /*usage=*/true); }

  int count() const { return count_; }
  // Throws when there is any problem: UsageError when all are of the command line, FormatError
  // otherwise. The message is the only problem itself, or a numbered list, one problem per line,
  // grouped by place.
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
