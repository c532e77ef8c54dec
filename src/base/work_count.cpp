#include "base/work_count.hpp"

#include <atomic>

namespace bitmill {
namespace {

std::atomic<uint64_t> counted = 0;

}  // namespace

void count_work() { counted.fetch_add(1, std::memory_order_relaxed); }

uint64_t work_counted() { return counted.load(std::memory_order_relaxed); }

}  // namespace bitmill
