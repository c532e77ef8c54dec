// Something new that is learned is declared where its linear is made, and nowhere else: gradients,
// sums, steps and saved state follow from the list of segments.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <mutex>

#include "comm/thread_communicator.hpp"
#include "method/block_configs.hpp"
#include "method/loss.hpp"
#include "method/student_block.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/blocks/live_state.hpp"
#include "pipeline/blocks/made_up_linear.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

constexpr int64_t tokens = 5, samples = 6, steps = 4;

class MadeUpBlock {
 public:
  MadeUpBlock() : config_(test::llama()), vectors_(), rotary_(make_rotary(config_, tokens)) {
    at::manual_seed(3);
    vectors_ = test::random_vectors(config_);
    for (const LinearShape& shape : block_linears(config_, 0)) {
      FrozenLinear frozen;
      frozen.rows = shape.rows;
      frozen.cols = shape.cols;
      frozen.signs = (at::randint(0, 2, {shape.rows, shape.cols}) * 2 - 1).to(at::kChar);
      linears_.push_back({{std::move(frozen), {}}, {}});
      learned_.push_back(test::learned_of_made_up(shape.rows, shape.cols));
    }
    layout_ = std::make_unique<LearnedLayout>(learned_);
    for (int64_t i = 0; i < samples; ++i) {
      const at::Tensor x = at::randn({tokens, config_.hidden_size});
      samples_.push_back({x, x + at::randn_like(x), x + at::randn_like(x)});
    }
  }

  const LearnedLayout& layout() const { return *layout_; }
  at::Tensor initial_values() const { return layout_->initial_values(learned_); }
  const TrainingSample& sample(int64_t i) const { return samples_[static_cast<size_t>(i)]; }
  StudentBlock student(ThreadPool& pool) const {
    return {config_, vectors_, linears_, *layout_, {}, backend_, rotary_, pool};
  }

  // Through dense weights that autograd alone knows.
  at::Tensor autograd_gradient(const TrainingSample& sample, const at::Tensor& values,
                               ThreadPool& pool) const {
    const at::AutoGradMode grad_mode(true);
    const at::Tensor flat = values.clone().requires_grad_(true);
    std::map<std::pair<int, std::string>, at::Tensor> parts;
    for (const LearnedSegment& segment : layout_->segments()) {
      parts[{segment.linear, segment.name}] =
          flat.narrow(0, segment.offset, segment.size).view(segment.shape);
    }
    const at::Tensor out = block_forward(
        config_, vectors_, rotary_, sample.input,
        [&](size_t linear, const at::Tensor& x) {
          const auto i = static_cast<int>(linear);
          const at::Tensor signs = linears_[linear].initial.frozen.signs.to(at::kFloat);
          return at::mm(x, (signs / 4 + parts[{i, "offset"}]).t()) / parts[{i, "divisor"}];
        },
        pool);
    return torch::autograd::grad({sample_loss(out, sample.normal, sample.homologous)}, {flat})[0];
  }

 private:
  const ModelConfig config_;
  BlockVectors vectors_;
  const Rotary rotary_;
  const test::MadeUpBackend backend_;
  std::vector<BlockLinear> linears_;
  std::vector<LearnedTensors> learned_;
  std::unique_ptr<LearnedLayout> layout_;
  std::vector<TrainingSample> samples_;
};

TEST(LearnedSegments, GradientsOfMadeUpOnesAreThoseOfAutograd) {
  const MadeUpBlock block;
  ThreadPool pool(1);
  const StudentBlock student = block.student(pool);
  const at::Tensor values = block.initial_values();
  const at::Tensor gradient = at::full_like(values, NAN), loss = at::zeros({1});
  student.unit_gradient(block.sample(0), values, gradient, loss[0]);
  const at::Tensor expected = block.autograd_gradient(block.sample(0), values, pool);
  for (const LearnedSegment& segment : block.layout().segments()) {
    EXPECT_GT(expected.narrow(0, segment.offset, segment.size).norm().item<float>(), 0);
  }
  EXPECT_LE((gradient - expected).norm().item<float>(), 1e-5F * expected.norm().item<float>());
}

// Saved to a file and restored from it between two steps, where the caller wants it.
class Training {
 public:
  Training(const MadeUpBlock& block, Communicator& comm, ThreadPool& pool)
      : block_(block), comm_(comm), pool_(pool), values_(block.initial_values()) {
    begin();
  }

  void step() {
    const StudentBlock student = block_.student(pool_);
    const at::Tensor losses = at::zeros({samples});
    optimizer_->step(
        samples,
        [&](int64_t position, const at::Tensor& gradient) {
          student.unit_gradient(block_.sample(position), values_, gradient, losses[position]);
        },
        values_);
  }

  void save_and_restore(Files& files, const std::string& path) {
    std::vector<TensorSource> kept;
    for (const TensorSource& tensor : state_tensors(state(), Dtype::float32, pool_)) {
      const auto bytes = std::make_shared<std::vector<std::byte>>();
      tensor.produce([&](std::span<const std::byte> piece) {
        bytes->insert(bytes->end(), piece.begin(), piece.end());
      });
      kept.push_back({tensor.name, tensor.dtype, tensor.shape,
                      [bytes](const ByteSink& sink) { sink(*bytes); }});
    }
    const int64_t done = optimizer_->steps();
    values_ = at::full_like(values_, NAN);
    block_.layout().clear_small(values_);  // gaps, which no file has
    begin();
    std::unique_ptr<SafetensorsFile> file;
    if (comm_.rank() == 0) {
      write_safetensors(files, path, kept, {});
      file = std::make_unique<SafetensorsFile>(files, path);
    }
    restore_state(state(), file.get(), comm_);
    optimizer_->set_steps(done);
  }

  const at::Tensor& values() const { return values_; }

 private:
  LiveState state() { return {block_.layout(), values_, *optimizer_}; }
  void begin() {
    optimizer_ = std::make_unique<ShardedOptimizer>(
        block_.layout(), RateCurve{RateSchedule::cosine, steps}, comm_, *device_);
  }

  const MadeUpBlock& block_;
  Communicator& comm_;
  ThreadPool& pool_;
  const std::unique_ptr<Device> device_ = cpu_device(pool_);
  at::Tensor values_;
  std::unique_ptr<ShardedOptimizer> optimizer_;
};

class LearnedSegmentsTrained : public testing::Test {
 protected:
  at::Tensor train(int ranks, int64_t restored_at) {
    const MadeUpBlock block;
    at::Tensor result;
    std::mutex mutex;
    run_ranks(ranks, [&](Communicator& comm) {
      at::set_num_threads(1);
      ThreadPool pool(2, [] { at::set_num_threads(1); });
      Training training(block, comm, pool);
      for (int64_t step = 0; step < steps; ++step) {
        if (step == restored_at) training.save_and_restore(*files_, path());
        training.step();
      }
      const std::lock_guard lock(mutex);
      if (!result.defined()) result = training.values();
      EXPECT_TRUE(at::equal(result, training.values())) << "rank " << comm.rank();
    });
    return result;
  }
  std::string path() const { return folder_.path() + "/state.safetensors"; }

  TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(LearnedSegmentsTrained, MadeUpOnesMoveAndAreSavedAndRestored) {
  const MadeUpBlock block;
  const at::Tensor begun = block.initial_values(), expected = train(1, -1);
  for (const LearnedSegment& segment : block.layout().segments()) {
    const at::Tensor moved = (expected - begun).narrow(0, segment.offset, segment.size).abs();
    EXPECT_NEAR(moved.max().item<float>(), 2 * segment.rate, 2 * segment.rate) << segment.name;
    EXPECT_GT(moved.max().item<float>(), 0) << segment.name;
  }
  for (const int ranks : {1, 2, 3}) {
    EXPECT_TRUE(at::equal(train(ranks, 2), expected)) << ranks << " ranks";
  }
}

// The small ones together, under the names that every run folder has; the large ones by linear.
TEST_F(LearnedSegmentsTrained, MadeUpOnesHaveTheirNamesInTheFile) {
  train(2, 1);
  const SafetensorsFile file(*files_, path());
  const MadeUpBlock block;
  EXPECT_EQ(file.tensors().size(), 3U * (1 + 7));
  for (const std::string kind : {"learned", "first_moment", "second_moment"}) {
    EXPECT_EQ(file.info(kind).elements(), block.layout().small_size());
    for (const LearnedSegment& segment : block.layout().segments()) {
      if (!segment.large) continue;
      const std::string name = kind + ".offset." + std::to_string(segment.linear);
      EXPECT_EQ(file.info(name).elements(), segment.size);
    }
  }
}

}  // namespace
}  // namespace bitmill
