#pragma once
// Counts work that shows in no file, task or message, so that a watchdog does not take it for
// standing still: the tokenizer splits the words of a long text.

#include <cstdint>

namespace bitmill {

// May be called from any thread. Only whether the count moves matters, not its value: a call now
// and then is enough.
void count_work();
uint64_t work_counted();

}  // namespace bitmill
