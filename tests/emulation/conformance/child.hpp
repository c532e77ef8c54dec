#pragma once
// What breaks a device is tried in a process of its own: this program again, with --child NAME.

#include <string>

namespace conformance {

// Runs a child of that name; returns its exit status, or 128 + signal.
int status_of_child(const std::string& name);

// In the child: 0 when all is as it should be. Each difference is printed.
int run_child(const std::string& name);

struct Child {
  Child(const char* name, void (*run)());
};

}  // namespace conformance

#define CONFORMANCE_CHILD(name)                                                     \
  static void child_##name();                                                       \
  static const ::conformance::Child child_##name##_registered(#name, child_##name); \
  static void child_##name()
