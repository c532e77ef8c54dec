// Means over samples by hand, and those that a run makes of what its linears read.

#include "pipeline/sums/sample_statistics.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "checkpoint/claim.hpp"
#include "checkpoint/run_state.hpp"
#include "comm/thread_communicator.hpp"
#include "method/input_moments.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

// Five samples, two to a batch; elements of several slices.
TEST(SampleMean, ByHandOnAnyRanks) {
  constexpr int64_t size = 200;
  for (const int ranks : {1, 2, 3, 5}) {
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadPool pool(2);
      const SampleShare share(5, 2, ranks, comm.rank());
      // Sample n has (n + 1) (j + 1) at element j: 15 (j + 1) of all of them.
      const at::Tensor from_one = at::arange(1, size + 1).to(at::kFloat);
      const auto unit = [&](int64_t i, const at::Tensor& values) {
        values.copy_(from_one * (share.own()[i] + 1));
      };
      const at::Tensor mean = mean_over_samples(size, 10, share, unit, comm, *cpu_device(pool));
      EXPECT_TRUE(at::equal(mean, from_one * 1.5)) << ranks << " ranks";
    });
  }
}

class MomentsOfARun : public TinyJob {
 protected:
  // By linear, sum_t x_tj^2 over all tokens of what it reads in block 0, [cols] float64.
  std::vector<at::Tensor> sums_by_hand(const QuantizeOptions& o, const SourceModel& model) {
    const Windows windows =
        read_calibration(calibration_source(o), *files_, model.config()).windows;
    const BlockWeights weights = model.load_block(0);
    const Rotary rotary = make_rotary(model.config(), windows.seq_len);
    ThreadPool pool(1);
    std::vector<at::Tensor> sums;
    for (const at::Tensor& weight : weights.linears) {
      sums.push_back(at::zeros({weight.size(1)}, at::kDouble));
    }
    for (int64_t i = 0; i < windows.count; ++i) {
      block_forward(
          model.config(), weights.vectors, rotary, model.embed(windows.window(i)),
          [&](size_t linear, const at::Tensor& x) {
            sums[linear] += x.to(at::kDouble).square().sum(0);
            return at::mm(x, weights.linears[linear].t());
          },
          pool);
    }
    return sums;
  }

  // What the state of block 0 says of a run that was stopped.
  at::Tensor saved_mean_squares(const QuantizeOptions& o) {
    const SavedBlock saved = RunState(*files_, find_state(*files_, o.work_dir)->path).open_live(0);
    const TensorInfo& info = saved.tensors.info("mean_squares");
    at::Tensor values = at::empty({info.elements()});
    saved.tensors.read(info, bytes_of(values));
    return values;
  }

  void expect_means_by_hand(const QuantizeOptions& o) {
    const SourceModel model(*files_, o.model);
    const std::vector<LinearShape> shapes = block_linears(model.config(), 0);
    const std::vector<at::Tensor> sums = sums_by_hand(o, model);
    const at::Tensor saved = saved_mean_squares(o);
    const MomentLayout layout(shapes, MomentLayout::Width::channels);
    ASSERT_EQ(saved.numel(), layout.size());
    for (size_t linear = 0; linear < shapes.size(); ++linear) {
      const at::Tensor actual = layout.part(saved, shapes[linear].role).to(at::kDouble);
      constexpr double tokens = 11 * 9;  // samples of so many
      EXPECT_TRUE(at::allclose(actual, sums[linear] / tokens, 1e-5)) << shapes[linear].tensor;
    }
  }
};

TEST_F(MomentsOfARun, AreMeansOverAllTokensThatItsLinearsRead) {
  for (const int ranks : {1, 3}) {
    for (const Init init : {Init::weights, Init::descent}) {  // of channels, and of pairs
      QuantizeOptions o = options(fmt::format("{}on{}", static_cast<int>(init), ranks));
      o.batch = 3;
      o.method.int4_clip = true;
      o.method.init = init;
      stop_early(o, 6, ranks);  // while block 0 is trained
      expect_means_by_hand(o);
    }
  }
}

}  // namespace
}  // namespace bitmill
