#pragma once
// A checker of a few lines: the conformance binary must build on a machine that has a GPU, nvcc and
// nothing else.
//
//   CONFORMS(streams, "Work of one stream is done in order") { EXPECT(...); }

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace conformance {

struct Case {
  const char* group;
  const char* sentence;
  void (*run)();
};

// All cases of the program.
std::vector<Case>& cases();

struct Registered {
  Registered(const char* group, const char* sentence, void (*run)()) {
    cases().push_back({group, sentence, run});
  }
};

// The running case fails, and goes on.
void fail(const char* file, int line, const std::string& what);

// How often fail() was called since the case began.
int failures();

// What a case throws that cannot be tried on this machine.
struct Skipped {
  std::string why;
};

template <typename T>
std::string shown(const T& value) {
  std::ostringstream text;
  if constexpr (std::is_enum_v<T>) {
    text << static_cast<long long>(value);
  } else {
    text << value;
  }
  return text.str();
}

template <typename A, typename B>
void expect_equal(const A& a, const B& b, const char* words, const char* file, int line) {
  if (!(a == b)) fail(file, line, std::string(words) + ": " + shown(a) + " and " + shown(b));
}

}  // namespace conformance

#define CONFORMANCE_JOIN2(a, b) a##b
#define CONFORMANCE_JOIN(a, b) CONFORMANCE_JOIN2(a, b)
#define CONFORMANCE_CASE(group, sentence, name)                                                \
  static void name();                                                                          \
  static const ::conformance::Registered CONFORMANCE_JOIN(name, _registered)(#group, sentence, \
                                                                             name);            \
  static void name()
#define CONFORMS(group, sentence) \
  CONFORMANCE_CASE(group, sentence, CONFORMANCE_JOIN(group##_case_, __LINE__))

#define EXPECT(condition) \
  ((condition) ? void() : ::conformance::fail(__FILE__, __LINE__, #condition))
#define EXPECT_SAME(a, b) ::conformance::expect_equal((a), (b), #a " == " #b, __FILE__, __LINE__)
