#include "emulation/runtime/rest.hpp"

#include "emulation/runtime/settings.hpp"

namespace bitmill::fake_cuda {
namespace {

// The finisher of the splitmix64 generator.
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t drawn(uint64_t a, uint64_t b) { return mixed(mixed(settings().seed + mixed(a)) + b); }

uint64_t rest_of_task(uint64_t number, uint64_t place) {
  const Settings& all = settings();
  if (all.seed == 0) return all.delay_us;
  return drawn(number, place) % (all.delay_us + 1);
}

}  // namespace bitmill::fake_cuda
