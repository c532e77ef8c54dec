#pragma once
// For reads and writes that do not show whether the work goes on: those of a heartbeat.

namespace bitmill {

// While an object of this class lives, file_transfers() does not count what its thread reads and
// writes. Defined in files.cpp.
class QuietTransfers {
 public:
  QuietTransfers();
  ~QuietTransfers();
  QuietTransfers(const QuietTransfers&) = delete;
  QuietTransfers& operator=(const QuietTransfers&) = delete;
};

}  // namespace bitmill
