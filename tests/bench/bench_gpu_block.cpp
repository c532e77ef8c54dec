// How long a training step of one block takes on a GPU, and at which rate its products run.
// gpu_step.py starts it, and puts a plain PyTorch step beside it. Prints one JSON object.
//
//   bench_gpu_block SHAPE bfloat16|float32 frozen|signs STEPS
//
// A step is that of the `published` recipe: one sample of T tokens. `signs`: they are learned too.
// Values are random; times do not depend on them, the power that a GPU draws does.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "backend/backend.hpp"
#include "base/error.hpp"
#include "bench/block_shapes.hpp"
#include "comm/self_communicator.hpp"
#include "device/device.hpp"
#include "device/product.hpp"
#include "method/student_block.hpp"
#include "model/device_weights.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"

namespace bitmill::bench {
namespace {

using Clock = std::chrono::steady_clock;

// Every fifth column is salient: the method's share, without the time that choosing takes.
constexpr int64_t salient_every = 5;

// A tensor of `sizes` that repeats `pattern`, whose length is odd, so that no two rows are equal.
at::Tensor repeated(const at::Tensor& pattern, at::IntArrayRef sizes) {
  const int64_t count = c10::multiply_integers(sizes);
  const int64_t times = (count + pattern.numel() - 1) / pattern.numel();
  return pattern.repeat({times}).narrow(0, 0, count).view(sizes);
}

InitialLinear random_linear(int64_t rows, int64_t cols, bool learn_signs) {
  constexpr int64_t length = (int64_t{1} << 20) + 7;
  const at::Tensor all = at::arange(cols);
  const at::Tensor is_salient = all.remainder(salient_every) == 0;
  InitialLinear out;
  FrozenLinear& frozen = out.frozen;
  frozen.rows = rows;
  frozen.cols = cols;
  frozen.salient_columns = all.masked_select(is_salient);
  frozen.low_columns = all.masked_select(is_salient.logical_not());
  const int64_t low = frozen.low_columns.numel(), salient = frozen.salient_columns.numel();
  const at::Tensor normal = at::randn({length});
  if (learn_signs) {
    out.latents = repeated(normal.clamp(-1.4, 1.4), {rows, low});
  } else {
    frozen.signs = repeated(at::where(normal > 0, 1, -1).to(at::kChar), {rows, low});
  }
  frozen.codes = repeated(at::randint(16, {length}).to(at::kByte), {rows, salient});
  frozen.row_mean = at::randn({rows}) * 1e-3;
  frozen.code_scale = at::full({rows}, 0.01);
  frozen.code_zero = at::full({rows}, 8.0);
  out.row_scale = at::full({rows}, 0.02);
  return out;
}

// Forward, the gradient of x, and that of the signs. Query, key and value want of x only what the
// gains of the low columns need.
double linear_operations(const LinearShape& linear, int64_t tokens, bool learn_signs) {
  const int64_t salient = (linear.cols + salient_every - 1) / salient_every;
  const int64_t low = linear.cols - salient;
  const bool first = linear.role == LinearRole::query || linear.role == LinearRole::key ||
                     linear.role == LinearRole::value;
  const int64_t columns = linear.cols + (first ? low : linear.cols) + (learn_signs ? low : 0);
  return 2.0 * static_cast<double>(tokens) * static_cast<double>(linear.rows * columns);
}

// Two products forward, five backward (scores once more), each over the half that is not masked.
double attention_operations(const Shape& shape) {
  return 7.0 * static_cast<double>(shape.tokens * shape.tokens) *
         static_cast<double>(shape.heads * shape.head_dim);
}

// A block in training, on a GPU.
class Training {
 public:
  Training(const Shape& shape, bool learn_signs, const Device& device)
      : device_(device), config_(config_of(shape)), comm_(self_communicator()) {
    settings_.learned.signs = learn_signs;
    std::vector<BlockLinear> linears;
    std::vector<LearnedTensors> learned;
    for (const LinearShape& linear : block_linears(config_, 0)) {
      linears.push_back({random_linear(linear.rows, linear.cols, learn_signs), {}});
      learned.push_back(learned_of(linears.back().initial, settings_));
      linears.back().initial.latents.reset();
      operations_ += linear_operations(linear, shape.tokens, learn_signs);
    }
    layout_.emplace(learned);
    values_ = device.bring(layout_->initial_values(learned), at::kFloat);
    learned.clear();
    rotary_ = on_device(make_rotary(config_, shape.tokens), device);
    backend_ = make_backend("cuda", device);
    student_.emplace(config_, on_device(vectors_of(config_), device), linears, *layout_,
                     settings_.loss, *backend_, rotary_, device.host());
    optimizer_.emplace(*layout_, RateCurve{}, *comm_, device);
    sample_.input = device.bring(at::randn({shape.tokens, shape.hidden}));
    sample_.normal = device.bring(at::randn({shape.tokens, shape.hidden}));
    sample_.homologous = device.bring(at::randn({shape.tokens, shape.hidden}));
    loss_ = at::zeros({1}, values_.options());
    operations_ += attention_operations(shape);
    student_->begin_step(values_);
  }

  void step() {
    optimizer_->step(
        1,
        [&](int64_t, const at::Tensor& gradient) {
          student_->unit_gradient(sample_, values_, gradient, loss_[0]);
        },
        values_);
    student_->begin_step(values_);
  }

  // Seconds of each of `count` steps, after three that do not count.
  std::vector<double> step_seconds(int count) {
    for (int i = 0; i < 3; ++i) step();
    device_.finish();
    std::vector<double> all;
    for (int i = 0; i < count; ++i) {
      const auto start = Clock::now();
      step();
      device_.finish();
      all.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    return all;
  }

  // Operations of the products of a step: those that the formulas need. kernels/STEP.md counts more
  // for attention, whose tiles have scores that are masked.
  double operations() const { return operations_; }

  double loss() const { return loss_.item<double>(); }

 private:
  const Device& device_;
  const ModelConfig config_;
  const std::unique_ptr<Communicator> comm_;
  MethodSettings settings_;
  std::optional<LearnedLayout> layout_;
  at::Tensor values_, loss_;
  Rotary rotary_;
  std::unique_ptr<Backend> backend_;
  std::optional<StudentBlock> student_;
  std::optional<ShardedOptimizer> optimizer_;
  TrainingSample sample_;
  double operations_ = 0;
};

double median(std::vector<double> all) {
  std::nth_element(all.begin(), all.begin() + std::ssize(all) / 2, all.end());
  return all[all.size() / 2];
}

// Operations per second of a square product, twenty of them queued at once, on a device that is
// warm.
double product_rate(int64_t size, const Device& device) {
  constexpr int at_once = 20;
  const at::Tensor x = device.bring(at::randn({size, size}));
  const at::Tensor y = device.bring(at::randn({size, size}));
  const auto seconds_of_all = [&] {
    const auto start = Clock::now();
    for (int i = 0; i < at_once; ++i) product(x, y);
    device.finish();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  std::vector<double> seconds;
  for (int i = 0; i < 3; ++i) seconds_of_all();
  for (int i = 0; i < 5; ++i) seconds.push_back(seconds_of_all());
  return 2.0 * at_once * static_cast<double>(size * size * size) / median(seconds);
}

int run(int argc, char** argv) {
  const std::string dtype = argc == 5 ? argv[2] : "", signs = argc == 5 ? argv[3] : "";
  if ((dtype != "bfloat16" && dtype != "float32") || (signs != "frozen" && signs != "signs")) {
    fmt::print(stderr, "usage: bench_gpu_block SHAPE bfloat16|float32 frozen|signs STEPS\n");
    return 2;
  }
  const Shape& shape = find_shape(argv[1]);
  const int steps = std::max(1, std::stoi(argv[4]));
  at::manual_seed(1);
  ThreadPool pool(static_cast<int>(std::thread::hardware_concurrency()),
                  [] { at::set_num_threads(1); });
  const auto device =
      cuda_device({.index = 0, .element = dtype == "bfloat16" ? at::kBFloat16 : at::kFloat}, pool);
  // Before and after the steps: the larger one counts, so that a slow moment flatters nothing.
  const int64_t size = shape.hidden < 1024 ? shape.hidden : 8192;
  const double before = product_rate(size, *device);
  Training training(shape, signs == "signs", *device);
  const double seconds = median(training.step_seconds(steps));
  const double rate = std::max(before, product_rate(size, *device));
  const double operations = training.operations();
  fmt::print(
      "{{\"device\": \"{}\", \"shape\": \"{}\", \"sizes\": [{}, {}, {}, {}, {}, {}], \"dtype\": "
      "\"{}\", \"signs\": \"{}\", "
      "\"steps\": {}, \"step_ms\": {:.3f}, \"product_tflops\": {:.2f}, "
      "\"step_tflops\": {:.2f}, \"share_of_product_rate\": {:.3f}, \"loss\": {:.6g}}}\n",
      device->description(), shape.name, shape.hidden, shape.inner, shape.heads, shape.kv_heads,
      shape.head_dim, shape.tokens, dtype, signs, steps, seconds * 1e3, rate * 1e-12,
      operations / seconds * 1e-12, operations / seconds / rate, training.loss());
  return 0;
}

}  // namespace
}  // namespace bitmill::bench

int main(int argc, char** argv) {
  at::set_num_threads(1);
  try {
    int status = 1;
    bitmill::with_device_errors([&] { status = bitmill::bench::run(argc, argv); });
    return status;
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_gpu_block: {}\n", error.what());
    return 1;
  }
}
