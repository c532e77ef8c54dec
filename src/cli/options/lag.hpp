#pragma once
// What --lag may say.

#include <string>

namespace bitmill {

// "5", "epochs", or "epochs/4": the largest divisor of `epochs` that is at most epochs/4 (1
// when there are fewer than 4). The result divides `epochs`; UsageError otherwise, with the nearest
// numbers that do. `origin` begins the message.
int parse_lag(const std::string& text, int epochs, const std::string& origin);

}  // namespace bitmill
