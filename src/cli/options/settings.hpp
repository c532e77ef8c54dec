#pragma once
// The values that a user gave, by the name of the option. Each has its origin, the place where it
// was given: an error about a value names that place. An option that was not given has no entry;
// then the caller's fallback is used.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bitmill {

struct Setting {
  std::string value;
  std::string origin;  // "--samples", "samples in line 3 of x.cfg", "batch of recipe parallel"
};

class Settings {
 public:
  // Keeps the first value of a name: add the command line first, then the config, then a recipe.
  void add(const std::string& name, Setting setting);
  void add_missing(const Settings& lower);

  bool has(const std::string& name) const { return values_.contains(name); }
  const std::map<std::string, Setting>& all() const { return values_; }
  // Where it was given; "--name" when it was not.
  std::string origin(const std::string& name) const;

  // All throw UsageError naming the origin, the value and what is expected.
  std::string text_or(const std::string& name, const std::string& fallback) const;
  // Without slashes at its end.
  std::string folder_or(const std::string& name, const std::string& fallback) const;
  int64_t whole_or(const std::string& name, int64_t fallback, int64_t lowest,
                   int64_t highest) const;
  uint64_t seed_or(const std::string& name, uint64_t fallback) const;
  double rate_or(const std::string& name, double fallback) const;  // finite, >= 0
  int64_t bytes_or(const std::string& name, int64_t fallback) const;
  bool is_on(const std::string& name) const;  // false when not given
  // The position of the value in `words`, or of `fallback`.
  size_t word_or(const std::string& name, const std::vector<std::string>& words,
                 size_t fallback) const;

  // UsageError listing all that are missing or empty.
  void require(const std::vector<std::string>& names, const std::string& command) const;

 private:
  const Setting* find(const std::string& name) const;

  std::map<std::string, Setting> values_;
};

}  // namespace bitmill
