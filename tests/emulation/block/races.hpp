#pragma once
// What ThreadSanitizer reports, as something that a test can look at. Only in the preset
// emulated-tsan. A report that no races_of() asked for fails the test in which it comes.

#include <functional>
#include <string>
#include <vector>

namespace bitmill::emulation {

// The accesses of the races while `run` runs, as "write of 4 bytes at kernel.hpp:12": one for each
// access, of the innermost line that lies in no system header.
std::vector<std::string> races_of(const std::function<void()>& run);

}  // namespace bitmill::emulation
