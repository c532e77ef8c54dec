#pragma once
// A size as people read it.

#include <cstdint>
#include <string>

namespace bitmill {

// "999 bytes", "4.35 MB", "13.5 GB": powers of 1000, three digits.
std::string format_bytes(int64_t bytes);

}  // namespace bitmill
