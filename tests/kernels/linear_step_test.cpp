// kernels/STEP.md, run.

#include <gtest/gtest.h>

#include "kernels/linear_step_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/grid.hpp"

namespace bitmill {
namespace {

TEST(LinearStep, OutputAndAllGradientsAreThoseOfTheWeightThatItStandsFor) {
  check_linear_steps<emulation::DeviceArray>();
}

}  // namespace
}  // namespace bitmill
