// AdamW and the flat tensor of learned values on a device: the bits of the host's.

#include "method/adamw.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "backend/learned_parts.hpp"
#include "base/error.hpp"
#include "device/gpu_fixture.hpp"

namespace bitmill {
namespace {

const at::Device adamw_gpu(at::kCUDA, 0);

class AdamWOnDevice : public test::OnGpu {};

// Vectors, latents with a window, an empty tensor at the very end; more than one piece (4,096) and
// more than one task of the host (65,536).
std::vector<LearnedTensors> some_linears() {
  const at::Tensor latents = at::randn({9, 7501}) * 1.2, few = at::randn({3, 5}) * 1.2;
  return {{{"row_scale", {9}, 5e-4, false, at::rand({9})},
           {"col_gain", {7501}, 1e-3},
           {"latents", {9, 7501}, 3e-2, true, latents, straight_through_window}},
          {{"row_scale", {3}, 5e-4, false, at::rand({3})},
           {"latents", {3, 5}, 3e-2, true, few, straight_through_window},
           {"nothing", {3, 0}, 1e-3, true}}};
}

struct AdamWEnd {
  at::Tensor values, first, second;  // on the host
};

AdamWEnd three_steps(const LearnedLayout& layout, const at::Tensor& start,
                     const std::vector<at::Tensor>& sums, int64_t begin, int64_t end,
                     at::Device where) {
  ThreadPool pool(2);
  AdamW adamw(layout, begin, end, where);
  const at::Tensor values = start.narrow(0, begin, end - begin).to(where).clone();
  for (size_t t = 0; t < sums.size(); ++t) {
    const at::Tensor sum = sums[t].narrow(0, begin, end - begin).to(where).contiguous();
    adamw.step(static_cast<int64_t>(t) + 1, 1 - 0.2 * static_cast<double>(t), sum, 3, values, pool);
  }
  EXPECT_EQ(adamw.first_moment().device(), values.device());
  return {values.cpu(), adamw.first_moment().cpu(), adamw.second_moment().cpu()};
}

TEST_F(AdamWOnDevice, HasTheBitsOfTheHostForEverySlice) {
  const auto linears = some_linears();
  const LearnedLayout layout(linears);
  const at::Tensor start = layout.initial_values(linears);
  std::vector<at::Tensor> sums;
  for (int i = 0; i < 3; ++i) sums.push_back(at::randn({layout.size()}));
  const int64_t size = layout.size();
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, size},
                                   {0, size / 3},
                                   {size / 3, 2 * size / 3 + 1},
                                   {size - 2, size},
                                   {7, 7}}) {
    SCOPED_TRACE(testing::Message() << begin << " to " << end << " of " << size);
    const AdamWEnd here = three_steps(layout, start, sums, begin, end, at::kCPU);
    const AdamWEnd there = three_steps(layout, start, sums, begin, end, adamw_gpu);
    EXPECT_TRUE(at::equal(there.values, here.values));
    EXPECT_TRUE(at::equal(there.first, here.first));
    EXPECT_TRUE(at::equal(there.second, here.second));
    if (end - begin > 100) {
      EXPECT_FALSE(at::equal(here.values, start.narrow(0, begin, end - begin)));
    }
  }
}

// What a backend leaves to the optimiser: a latent outside of the window does not move.
TEST_F(AdamWOnDevice, GradientsOutsideTheWindowCountAsZero) {
  const auto linears = some_linears();
  const LearnedLayout layout(linears);
  const at::Tensor start = layout.initial_values(linears);
  const std::vector<at::Tensor> once = {at::ones({layout.size()})};
  const AdamWEnd there = three_steps(layout, start, once, 0, layout.size(), adamw_gpu);
  for (const LearnedSegment& segment : layout.segments()) {
    const at::Tensor before = LearnedLayout::view(start, segment);
    const at::Tensor moved = LearnedLayout::view(there.values, segment) != before;
    const at::Tensor wanted =
        segment.window > 0 ? before.abs() < segment.window : at::ones_like(moved);
    EXPECT_TRUE(at::equal(moved, wanted)) << segment.name;
  }
}

TEST_F(AdamWOnDevice, LayoutsCutTensorsOfADevice) {
  const auto linears = some_linears();
  const LearnedLayout layout(linears);
  const at::Tensor host = layout.initial_values(linears), there = host.to(adamw_gpu);
  const at::Tensor gradient = at::full({layout.size()}, 7.0, adamw_gpu);
  const auto views = layout.views(there, gradient), expected = layout.views(host);
  for (const LearnedSegment& segment : layout.segments()) {
    const at::Tensor view = views[segment.linear][segment.name];
    EXPECT_TRUE(view.is_cuda() && view.is_leaf() && !view.requires_grad());
    EXPECT_TRUE(at::equal(view.cpu(), expected[segment.linear][segment.name])) << segment.name;
    const at::Tensor place = views[segment.linear].gradient_place(segment.name);
    ASSERT_EQ(place.defined(), segment.large);
    if (segment.large) place.fill_(3);
  }
  layout.clear_small(gradient);
  at::Tensor wanted = at::zeros({layout.size()});
  for (const LearnedSegment& segment : layout.segments()) {
    if (segment.large) LearnedLayout::view(wanted, segment).fill_(3);
  }
  EXPECT_TRUE(at::equal(gradient.cpu(), wanted));
}

TEST_F(AdamWOnDevice, ValuesThatAreElsewhereAreRefused) {
  ThreadPool pool(1);
  const LearnedLayout layout(some_linears());
  AdamW adamw(layout, 0, layout.size(), adamw_gpu);
  const at::Tensor host = at::ones({layout.size()});
  EXPECT_THROW(adamw.step(1, 1, host, 1, host, pool), DeviceError);
  EXPECT_THROW(adamw.step(1, 1, host, 1, host.to(adamw_gpu), pool), DeviceError);
}

}  // namespace
}  // namespace bitmill
