// One measurement of training steps, or of plain matrix products, per process; run.py starts these
// side by side and puts the table together. Prints one JSON object on rank 0.
//
//   bench_block matmul SECONDS
//   bench_block attention SHAPE SECONDS    forward and backward of one sample, one thread
//   bench_block step VARIANT SHAPE BATCH THREADS SECONDS
//     VARIANT: cpu, reference, plain; bfloat16: cpu with products in bfloat16; signs: cpu, signs
//     learned too; bfloat16-signs
//
// Under mpirun, `step` shares its batch over the ranks as quantize does.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "base/error.hpp"
#include "base/memory.hpp"
#include "bench/block_fixture.hpp"
#include "bench/plain_step.hpp"
#include "comm/mpi_session.hpp"
#include "comm/self_communicator.hpp"
#include "device/host_product.hpp"
#include "model/attention.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How often `work` runs in about `seconds`, after one warm-up; every rank runs it as often.
template <class Work>
std::pair<int64_t, double> repeat(double seconds, Communicator& comm, const Work& work) {
  work();
  const auto trial = Clock::now();
  work();
  auto times = std::max<int64_t>(1, static_cast<int64_t>(seconds / seconds_since(trial)));
  comm.broadcast(std::as_writable_bytes(std::span(&times, 1)), 0);
  comm.barrier();
  const auto start = Clock::now();
  for (int64_t i = 0; i < times; ++i) work();
  comm.barrier();
  return {times, seconds_since(start)};
}

void measure_matmul(double seconds, Communicator& comm) {
  // The products of the larger shape's attention: a rate that the machine can really reach.
  const at::Tensor a = at::randn({512, 4096}), b = at::randn({4096, 4096});
  const at::Tensor out = at::empty({512, 4096});
  at::Tensor target = out;
  const auto [times, took] = repeat(seconds, comm, [&] { at::mm_out(target, a, b); });
  const double flops = 2.0 * 512 * 4096 * 4096 * static_cast<double>(times);
  if (comm.rank() == 0) {
    fmt::print("{{\"gflops\": {:.2f}, \"peak_bytes\": {}}}\n", flops / took * 1e-9,
               peak_memory_bytes());
  }
}

void measure_step(const std::string& variant, const Shape& shape, int64_t batch, int threads,
                  double seconds, Communicator& comm) {
  at::set_num_threads(variant == "plain" ? threads : 1);
  ThreadPool pool(variant == "plain" ? 1 : threads, [] { at::set_num_threads(1); });
  MethodSettings settings;
  settings.learned.signs = variant == "signs" || variant == "bfloat16-signs";
  const Fixture f(shape, batch, pool, settings);
  std::pair<int64_t, double> result;
  if (variant == "plain") {
    const auto scales = plain_scales(f);
    result = repeat(seconds, comm, [&] {
      for (const TrainingSample& sample : f.samples) plain_step(f, sample, scales, pool);
    });
  } else {
    const bool rounded = variant.starts_with("bfloat16");
    if (rounded && !why_no_bfloat16().empty()) throw UsageError(why_no_bfloat16());
    const auto backend = rounded              ? cpu_backend(at::kBFloat16)
                         : variant == "signs" ? cpu_backend()
                                              : make_backend(variant);
    std::vector<LearnedTensors> declared;
    for (const InitialLinear& linear : f.initial) declared.push_back(learned_of(linear, settings));
    const LearnedLayout layout(declared);
    StudentBlock student(f.config, f.vectors, f.linears, layout, {}, *backend, f.rotary, pool);
    const auto device = cpu_device(pool);
    ShardedOptimizer optimizer(layout, {}, comm, *device);
    const at::Tensor learned = layout.initial_values(declared), losses = at::zeros({batch});
    student.begin_step(learned);
    result = repeat(seconds, comm, [&] {
      optimizer.step(
          batch,
          [&](int64_t position, const at::Tensor& gradient) {
            student.unit_gradient(f.samples[static_cast<size_t>(position)], learned, gradient,
                                  losses[position]);
          },
          learned);
      student.begin_step(learned);
    });
  }
  int64_t weights = 0;
  for (const at::Tensor& weight : f.weights) weights += weight.numel();
  const double tokens = static_cast<double>(result.first * batch * shape.tokens);
  // Two products per linear, whatever a variant really computes.
  const double flops = 4.0 * tokens * static_cast<double>(weights);
  if (comm.rank() == 0) {
    fmt::print(
        "{{\"step_ms\": {:.3f}, \"tokens_per_s\": {:.1f}, \"gflops\": {:.2f}, "
        "\"peak_bytes\": {}}}\n",
        result.second / static_cast<double>(result.first) * 1e3, tokens / result.second,
        flops / result.second * 1e-9, peak_memory_bytes());
  }
}

// What a step spends on attention, which its GFLOP/s do not count.
void measure_attention(const Shape& shape, double seconds, Communicator& comm) {
  const at::AutoGradMode grad_mode(true);
  ThreadPool pool(1);
  const auto random = [&](int64_t heads) {
    return at::randn({shape.tokens, heads, shape.head_dim}).requires_grad_(true);
  };
  const at::Tensor query = random(shape.heads), key = random(shape.kv_heads);
  const at::Tensor value = random(shape.kv_heads);
  const at::Tensor gradient = at::randn({shape.tokens, shape.heads, shape.head_dim});
  const auto [times, took] = repeat(seconds, comm, [&] {
    const at::Tensor out = causal_attention(query, key, value, pool);
    torch::autograd::grad({out}, {query, key, value}, {gradient});
  });
  if (comm.rank() == 0) fmt::print("{{\"ms\": {:.3f}}}\n", took / static_cast<double>(times) * 1e3);
}

int run(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  at::set_num_threads(1);
  std::unique_ptr<MpiSession> session;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) session = std::make_unique<MpiSession>();
  const auto comm = session ? session->world() : self_communicator();
  if (mode == "matmul" && argc == 3) {
    measure_matmul(std::stod(argv[2]), *comm);
  } else if (mode == "attention" && argc == 4) {
    measure_attention(find_shape(argv[2]), std::stod(argv[3]), *comm);
  } else if (mode == "step" && argc == 7) {
    measure_step(argv[2], find_shape(argv[3]), std::stoll(argv[4]), std::stoi(argv[5]),
                 std::stod(argv[6]), *comm);
  } else {
    fmt::print(stderr,
               "usage: bench_block matmul SECONDS\n"
               "       bench_block attention SHAPE SECONDS\n"
               "       bench_block step cpu|bfloat16|signs|bfloat16-signs|reference|plain SHAPE "
               "BATCH THREADS SECONDS\n");
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace bitmill::bench

int main(int argc, char** argv) {
  bitmill::keep_freed_memory();
  try {
    return bitmill::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_block: {}\n", error.what());
    return 1;
  }
}
