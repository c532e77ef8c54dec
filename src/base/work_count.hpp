#pragma once
// Work that shows in no file, task or message, counted so that a watchdog can tell it from standing
// still: words of a long text on their way to tokens.

#include <cstdint>

namespace bitmill {

// From any thread. Only that the count moves means something; now and then is enough.
void count_work();
uint64_t work_counted();

}  // namespace bitmill
