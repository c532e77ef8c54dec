#pragma once
// Sizes, times and numbers as people write and read them.

#include <cstdint>
#include <string>

#include "base/format_bytes.hpp"  // for sizes

namespace bitmill {

// "512M", "5GB", "2GiB", "1.5 GB", "4096" to bytes. The units are those of the GNU tools: K, M, G,
// T and KiB, MiB, ... are powers of 1024; KB, MB, ... are powers of 1000. UsageError otherwise.
int64_t parse_bytes(const std::string& text);

// "90", "90s", "15m", "2h", or as Slurm writes it: "03:04", "02:03:04", "1-02:03:04", to seconds.
// UsageError otherwise.
int64_t parse_seconds(const std::string& text);

// The value of --lag: "5", "epochs", or "epochs/4", which means the largest divisor of `epochs`
// that is at most epochs/4 (1 when there are fewer than 4). The result divides `epochs`; UsageError
// for a number that does not, with the nearest ones that do. The message begins with `origin`.
int parse_lag(const std::string& text, int epochs, const std::string& origin);

// "0.42 s", "12.3 s", "4 min 10 s", "1 h 02 min", "3 d 04 h". Negative seconds count as 0.
std::string format_seconds(double seconds);

// "1 rank", "2 ranks", "1,000 ranks".
std::string format_number_of(const std::string& thing, int64_t count);

// 1234567 as "1,234,567".
std::string format_count(int64_t count);

}  // namespace bitmill
