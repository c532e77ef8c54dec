// The cuda backend against the reference in float64: the output, and the gradients of x and of all
// that can be learned.

#include "backend/backend.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/learned_parts.hpp"
#include "backend/random_linear.hpp"
#include "base/error.hpp"
#include "device/gpu_fixture.hpp"

namespace bitmill {
namespace {

using CudaCase = test::Case;

const at::Device linear_gpu(at::kCUDA, 0);

class CudaBackend : public test::OnGpu {};

// Tokens, rows, low, salient: multiples of 16 and not, no low and no salient columns, more than a
// tile of tokens (64), of rows (512; 128 of an odd number) and of columns (1,024).
const std::vector<CudaCase> device_shapes = {{1, 1, 1, 0},      {16, 32, 24, 8},   {16, 48, 32, 16},
                                             {5, 3, 0, 4},      {9, 37, 53, 0},    {31, 33, 29, 8},
                                             {70, 130, 46, 11}, {3, 17, 1090, 21}, {2, 516, 9, 3}};

constexpr std::array learnable = {part::row_scale, part::row_gain,   part::col_gain,
                                  part::row_mean,  part::code_scale, part::latents};

const std::vector<LearnedNames> learned_sets = {
    {},
    {std::string(part::latents)},
    {std::string(part::row_mean)},
    {std::string(part::code_scale)},
    {std::string(part::latents), std::string(part::row_mean), std::string(part::code_scale)}};

// A linear with values for all that may be learned, and what goes in at both ends; on the host.
struct CudaProblem {
  FrozenLinear frozen;
  LearnedNames names;      // beside the scales
  LearnedLinear learned;   // float32
  at::Tensor x, upstream;  // [T, cols], [T, rows]
  bool needs_x = true;
};

CudaProblem cuda_problem(const CudaCase& shape, const LearnedNames& names, at::ScalarType element) {
  CudaProblem made{test::random_frozen(shape, 7), names, test::random_learned(shape), {}, {}};
  if (names.contains(part::latents)) {
    made.frozen.signs.reset();
    // On both sides of 0 and of the window.
    made.learned.set(part::latents, at::randn({shape.rows, shape.low}) * 1.2);
  }
  if (names.contains(part::row_mean)) {
    made.learned.set(part::row_mean, at::randn({shape.rows}) * 0.1);
  }
  if (names.contains(part::code_scale)) {
    made.learned.set(part::code_scale, at::rand({shape.rows}) * 0.1 + 0.01);
  }
  // Exact in the element: what is compared is the arithmetic.
  made.x = at::randn({shape.tokens, shape.low + shape.salient}).to(element).to(at::kFloat);
  made.upstream = at::randn({shape.tokens, shape.rows}).to(element).to(at::kFloat);
  return made;
}

struct CudaResult {
  at::Tensor y;
  std::vector<at::Tensor> gradients;  // of x, then of `learnable`; undefined: none
};

// Forward and backward where `type` and `where` say for activations; what is learned is
// `learned_type`.
CudaResult pass(const Backend& backend, const CudaProblem& problem, const FrozenLinear& frozen,
                at::Device where, at::ScalarType type, at::ScalarType learned_type) {
  ThreadPool pool(1);
  LearnedLinear learned;
  at::Tensor place;
  for (const std::string_view name : learnable) {
    const at::Tensor value = problem.learned[name];
    if (value.defined()) learned.set(name, value.to(where).to(learned_type).clone());
  }
  if (problem.learned[part::latents].defined()) {
    place = at::full_like(learned[part::latents], 99.0);
    learned.set_gradient_place(part::latents, place);
  }
  const auto linear = backend.prepare(frozen, problem.names, pool);
  linear->begin_step(learned);
  torch::autograd::variable_list inputs;
  const at::Tensor x = problem.x.to(where).to(type).clone().requires_grad_(problem.needs_x);
  if (problem.needs_x) inputs.push_back(x);
  for (const std::string_view name : learnable) {
    if (learned[name].defined()) inputs.push_back(learned[name].requires_grad_(true));
  }
  const at::Tensor y = linear->forward(x, learned);
  const auto found = torch::autograd::grad({y}, inputs, {problem.upstream.to(where).to(type)},
                                           std::nullopt, false, /*allow_unused=*/true);
  CudaResult result{y.detach().cpu().to(at::kDouble), {}};
  size_t next = 0;
  result.gradients.push_back(problem.needs_x ? found[next++] : at::Tensor());
  for (const std::string_view name : learnable) {
    result.gradients.push_back(learned[name].defined() ? found[next++] : at::Tensor());
  }
  if (place.defined()) {
    EXPECT_FALSE(result.gradients.back().defined());  // written to its place, not handed through
    const at::Tensor latents = problem.learned[part::latents];
    result.gradients.back() =  // a backend may leave the window to who steps
        at::where(latents.abs() < straight_through_window, place.detach().cpu(), 0.0);
  }
  for (at::Tensor& one : result.gradients) {
    if (one.defined()) one = one.cpu().to(at::kDouble);
  }
  return result;
}

CudaResult on_gpu(const CudaProblem& problem, at::ScalarType element) {
  return pass(*cuda_backend(linear_gpu, element), problem, problem.frozen, linear_gpu, element,
              at::kFloat);
}

CudaResult truth_of(const CudaProblem& problem) {
  FrozenLinear exact = problem.frozen;
  for (at::Tensor* part : {&exact.row_mean, &exact.code_scale, &exact.code_zero}) {
    *part = part->to(at::kDouble);
  }
  if (exact.signs.defined()) exact.signs = exact.signs.to(at::kDouble);
  return pass(*reference_backend(), problem, exact, at::kCPU, at::kDouble, at::kDouble);
}

// Of the largest magnitude.
double farthest(const at::Tensor& got, const at::Tensor& want) {
  if (want.numel() == 0) return 0;
  return ((got - want).abs().max() / (want.abs().max() + 1e-20)).item<double>();
}

void expect_equal_passes(const CudaResult& got, const CudaResult& want, double relative) {
  EXPECT_LE(farthest(got.y, want.y), relative) << "y";
  for (size_t i = 0; i < want.gradients.size(); ++i) {
    const auto name = i == 0 ? std::string_view("x") : learnable[i - 1];
    ASSERT_EQ(got.gradients[i].defined(), want.gradients[i].defined()) << name;
    if (!want.gradients[i].defined()) continue;
    ASSERT_EQ(got.gradients[i].sizes(), want.gradients[i].sizes()) << name;
    EXPECT_LE(farthest(got.gradients[i], want.gradients[i]), relative) << "gradient of " << name;
  }
}

void compare_all(at::ScalarType element, double relative) {
  for (const CudaCase& shape : device_shapes) {
    for (const LearnedNames& names : learned_sets) {
      SCOPED_TRACE(testing::Message()
                   << shape.tokens << " tokens, " << shape.rows << " x (" << shape.low << " + "
                   << shape.salient << "), " << names.size() << " more learned, first "
                   << (names.empty() ? "" : *names.begin()));
      const CudaProblem problem = cuda_problem(shape, names, element);
      expect_equal_passes(on_gpu(problem, element), truth_of(problem), relative);
    }
  }
}

TEST_F(CudaBackend, EqualsTheReferenceInFloat32) { compare_all(at::kFloat, 1e-5); }

// Products and gradients are rounded to 8 bits on their way.
TEST_F(CudaBackend, IsWithinTheRoundingOfBfloat16) { compare_all(at::kBFloat16, 0.02); }

TEST_F(CudaBackend, InputThatNeedsNoGradientStillGivesTheOthersTheirs) {
  for (const LearnedNames& names : learned_sets) {
    CudaProblem problem = cuda_problem({20, 9, 18, 3}, names, at::kFloat);
    const CudaResult with_x = on_gpu(problem, at::kFloat);
    problem.needs_x = false;
    const CudaResult got = on_gpu(problem, at::kFloat);
    expect_equal_passes(got, truth_of(problem), 1e-5);
    for (size_t i = 1; i < got.gradients.size(); ++i) {  // what is skipped changes nothing else
      if (!got.gradients[i].defined()) continue;
      EXPECT_TRUE(at::equal(got.gradients[i], with_x.gradients[i])) << learnable[i - 1];
    }
  }
}

TEST_F(CudaBackend, TheSameCallGivesTheSameBits) {
  for (const auto element : {at::kFloat, at::kBFloat16}) {
    const CudaProblem problem = cuda_problem({70, 66, 46, 11}, learned_sets.back(), element);
    const CudaResult first = on_gpu(problem, element), second = on_gpu(problem, element);
    EXPECT_TRUE(at::equal(first.y, second.y));
    for (size_t i = 0; i < first.gradients.size(); ++i) {
      EXPECT_TRUE(at::equal(first.gradients[i], second.gradients[i])) << i;
    }
  }
}

TEST_F(CudaBackend, OutputIsAnElementAndGradientsOfLearnedValuesAreFloat32) {
  ThreadPool pool(1);
  const CudaProblem problem = cuda_problem({4, 5, 6, 7}, {}, at::kBFloat16);
  const auto linear = cuda_backend(linear_gpu, at::kBFloat16)->prepare(problem.frozen, {}, pool);
  LearnedLinear learned;
  for (const std::string_view name : {part::row_scale, part::row_gain, part::col_gain}) {
    learned.set(name, problem.learned[name].to(linear_gpu));
  }
  linear->begin_step(learned);
  const at::Tensor gain = learned[part::col_gain].requires_grad_(true);
  const at::Tensor y = linear->forward(problem.x.to(linear_gpu).to(at::kBFloat16), learned);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(y.is_cuda());
  const auto gradient = torch::autograd::grad({y}, {gain}, {at::ones_like(y)});
  EXPECT_EQ(gradient[0].scalar_type(), at::kFloat);
  EXPECT_TRUE(gradient[0].is_cuda());
}

// x of a caller may be any view: columns of something wider, rows from an odd element on.
TEST_F(CudaBackend, InputsNeedNotBeginAtASector) {
  ThreadPool pool(1);
  const CudaProblem problem = cuda_problem({6, 7, 10, 3}, {}, at::kFloat);
  const auto linear = cuda_backend(linear_gpu, at::kFloat)->prepare(problem.frozen, {}, pool);
  LearnedLinear learned;
  for (const std::string_view name : {part::row_scale, part::row_gain, part::col_gain}) {
    learned.set(name, problem.learned[name].to(linear_gpu));
  }
  linear->begin_step(learned);
  const at::Tensor x = problem.x.to(linear_gpu);
  const at::Tensor want = linear->forward(x, learned).cpu();
  const at::Tensor wide = at::zeros({7, 15}, linear_gpu), tall = at::zeros({7, 13}, linear_gpu);
  for (const at::Tensor& view : {wide.narrow(0, 1, 6).narrow(1, 1, 13), tall.narrow(0, 1, 6)}) {
    view.copy_(x);
    EXPECT_TRUE(at::equal(linear->forward(view, learned).cpu(), want));
  }
}

TEST_F(CudaBackend, SignsAreThoseOfTheLastBeginStep) {
  ThreadPool pool(1);
  CudaProblem problem = cuda_problem({3, 4, 20, 2}, {std::string(part::latents)}, at::kFloat);
  const auto linear =
      cuda_backend(linear_gpu, at::kFloat)->prepare(problem.frozen, problem.names, pool);
  LearnedLinear learned;
  for (const std::string_view name : learnable) {
    const at::Tensor value = problem.learned[name];
    if (value.defined()) learned.set(name, value.to(linear_gpu));
  }
  const at::Tensor x = problem.x.to(linear_gpu);
  linear->begin_step(learned);
  const at::Tensor before = linear->forward(x, learned).cpu();
  problem.learned.set(part::latents, -problem.learned[part::latents]);
  learned.set(part::latents, problem.learned[part::latents].to(linear_gpu));
  linear->begin_step(learned);
  const at::Tensor after = linear->forward(x, learned).cpu();
  EXPECT_FALSE(at::equal(after, before));
  EXPECT_LE(farthest(after.to(at::kDouble), truth_of(problem).y), 1e-5);
}

TEST_F(CudaBackend, InputsOfAnotherTypeSizeOrPlaceAreRefused) {
  ThreadPool pool(1);
  const CudaProblem problem = cuda_problem({3, 4, 5, 2}, {}, at::kFloat);
  const auto linear = cuda_backend(linear_gpu, at::kFloat)->prepare(problem.frozen, {}, pool);
  const at::Tensor x = problem.x.to(linear_gpu);
  for (const at::Tensor& wrong : {problem.x, x.to(at::kBFloat16), x.narrow(1, 0, 6), x[0]}) {
    EXPECT_THROW(linear->forward(wrong, problem.learned), DeviceError);
  }
  EXPECT_THROW(cuda_backend(at::kCPU, at::kFloat), DeviceError);
  EXPECT_THROW(cuda_backend(linear_gpu, at::kHalf), DeviceError);
}

}  // namespace
}  // namespace bitmill
