#pragma once
// Reads and writes that say nothing about whether the work goes on: those of a heartbeat.

namespace bitmill {

// While one lives, file_transfers() does not count what this thread reads and writes. In files.cpp.
class QuietTransfers {
 public:
  QuietTransfers();
  ~QuietTransfers();
  QuietTransfers(const QuietTransfers&) = delete;
  QuietTransfers& operator=(const QuietTransfers&) = delete;
};

}  // namespace bitmill
