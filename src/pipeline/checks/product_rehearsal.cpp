#include "pipeline/checks/product_rehearsal.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "backend/backend.hpp"
#include "base/pieces.hpp"
#include "device/device_full.hpp"
#include "device/product.hpp"
#include "format/packed_linear.hpp"
#include "method/input_moments.hpp"
#include "method/lora_block.hpp"
#include "method/next_token_divergence.hpp"
#include "method/next_token_loss.hpp"
#include "method/student_block.hpp"
#include "method/tuned_block.hpp"
#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {
namespace {

// Zeros, and what all passes of a job need.
class RehearsedModel {
 public:
  RehearsedModel(const SourceModel& model, int64_t seq_len, const Device& device)
      : model_(model),
        device_(device),
        rotary_(on_device(make_rotary(model.config(), seq_len), device)),
        sample_(at::zeros({seq_len, model.config().hidden_size},
                          at::device(device.torch()).dtype(device.element()))) {}

  const ModelConfig& config() const { return model_.config(); }
  const Rotary& rotary() const { return rotary_; }
  const at::Tensor& sample() const { return sample_; }  // [T, hidden]
  at::Tensor floats(int64_t size) const { return at::zeros({size}, at::device(device_.torch())); }
  // [rows, cols] as an operand of products
  at::Tensor matrix(int64_t rows, int64_t cols) const {
    return at::zeros({rows, cols}, at::device(device_.torch()).dtype(device_.operand()));
  }

  void forward() const {
    BlockWeights weights{on_device(model_.load_vectors(0), device_), {}};
    for (const LinearShape& linear : block_linears(config(), 0)) {
      weights.linears.push_back(matrix(linear.rows, linear.cols));
    }
    dense_block_forward(config(), weights, rotary_, sample_, device_.host());
  }

  // Moments of pairs of a block's inputs, one after the other: each has cols x cols of them.
  void pair_moments() const {
    std::set<int64_t> widths;
    for (const LinearShape& linear : block_linears(config(), 0)) widths.insert(linear.cols);
    for (const int64_t cols : widths) {
      const at::Tensor x = at::zeros({sample_.size(0), cols}, sample_.options());
      product_in_float32(x.t(), x);
    }
  }

  // There and back through a block that is trained together with others.
  void there_and_back(const TrainedBlock& block, const Backend& backend) const {
    at::Tensor values = floats(block.layout().size()).fill_(1);
    block.scale(values);
    const auto student = block.expand(backend, values);
    student->output(sample_, values);
    const at::Tensor gradient = floats(block.layout().size());
    for (const bool wants_input : {true, false}) {
      student->backward(sample_, sample_, values, gradient, wants_input);
    }
  }

  // With the matrix of `like`, where it has the same sizes.
  HeadWeights head(const HeadWeights& like = {}) const {
    HeadWeights head = on_device(model_.load_head_input(), device_);
    const int64_t vocab = config().vocab_size, embedding = config().embedding_size;
    const bool same =
        like.head.defined() && like.head.size(0) == vocab && like.head.size(1) == embedding;
    head.head = same ? like.head : matrix(vocab, embedding);
    return head;
  }

 private:
  const SourceModel& model_;
  const Device& device_;
  const Rotary rotary_;
  const at::Tensor sample_;
};

// The block with these linears kept, of which the others are trained.
void rehearse_student(const QuantizeOptions& options, const RehearsedModel& model,
                      BlockVectors vectors, const std::vector<bool>& kept, const Backend& backend,
                      const Device& device) {
  // How codes and first values are found changes no product.
  MethodSettings settings = options.method;
  settings.init = MethodSettings().init;
  settings.int4_clip = false;
  std::vector<BlockLinear> linears;
  std::vector<LearnedTensors> learned;
  const std::vector<LinearShape> shapes = block_linears(model.config(), 0);
  for (size_t role = 0; role < shapes.size(); ++role) {
    const int64_t rows = shapes[role].rows, cols = shapes[role].cols;
    BlockLinear& linear = linears.emplace_back();
    if (kept[role]) {
      linear.kept = model.matrix(rows, cols);
      continue;
    }
    const std::vector<float> saliency(static_cast<size_t>(cols));
    linear.initial = quantize_linear(model.floats(rows * cols).view({rows, cols}), saliency,
                                     settings, device.host());
    learned.push_back(learned_of(linear.initial, settings));
    linear.initial.latents.reset();
  }
  const LearnedLayout layout(learned);
  const at::Tensor values = layout.initial_values(learned, device.torch());
  learned.clear();
  StudentBlock student(model.config(), std::move(vectors), linears, layout, settings.loss, backend,
                       model.rotary(), device.host());
  student.begin_step(values);
  const at::Tensor& x = model.sample();
  student.unit_gradient({x, x, x}, values, model.floats(layout.size()), model.floats(1)[0]);
}

// A head with any number of positions: its products are of a tile at most, but for a projection
// before it. `loss(n)` uses the first n of a sample.
void rehearse_positions(const ModelConfig& config, int64_t most,
                        const std::function<void(int64_t)>& loss) {
  const bool projects = config.embedding_size != config.hidden_size;
  for (int64_t n = 1; n <= (projects ? most : std::min(most, tokens_per_tile)); ++n) loss(n);
}

void rehearse_divergence(const RehearsedModel& student, const RehearsedModel& teacher,
                         int64_t least, const Device& device) {
  const HeadWeights head = student.head();
  const NextTokenDivergence divergence(student.config(), teacher.config(),
                                       {head, teacher.head(head)}, device.host());
  const at::Tensor& x = student.sample();
  at::Tensor gradient;
  divergence(x, x, &gradient);
  rehearse_positions(student.config(), x.size(0), [&](int64_t n) {
    if (n >= least) divergence(x.narrow(0, 0, n), x.narrow(0, 0, n), &gradient);
  });
}

constexpr const char* while_choosing = "the choice of algorithms for the products of a block";

}  // namespace

void rehearse_products(const CheckedQuantize& checked, const Device& device) {
  const QuantizeOptions& options = checked.options;
  const ModelConfig& config = checked.model.config();
  const auto backend = make_backend(options.backend, device);
  at_place(while_choosing, [&] {
    const RehearsedModel model(checked.model, checked.forecast.seq_len, device);
    model.forward();
    if (MomentLayout::needed(options.method) == MomentLayout::Width::pairs) model.pair_moments();
    std::set<std::vector<bool>> rehearsed;
    for (int64_t block = 0; block < blocks_to_pack(options, config); ++block) {
      std::vector<bool> kept;
      for (const LinearShape& linear : block_linears(config, block)) {
        kept.push_back(is_kept(options, block, linear.tensor));
      }
      if (!rehearsed.insert(kept).second) continue;
      rehearse_student(options, model, on_device(checked.model.load_vectors(block), device), kept,
                       *backend, device);
    }
  });
}

void rehearse_products(const CheckedTune& checked, const Device& device) {
  const auto backend = make_backend(checked.options.backend, device);
  const int64_t seq_len = checked.forecast.seq_len;
  at_place(while_choosing, [&] {
    const RehearsedModel teacher(checked.teacher, seq_len, device);
    teacher.forward();
    const RehearsedModel model(checked.model, seq_len, device);
    model.forward();
    std::set<std::vector<bool>> rehearsed;
    for (int64_t block = 0; block < model.config().blocks; ++block) {
      std::vector<bool> packed;
      for (const LinearShape& linear : block_linears(model.config(), block)) {
        packed.push_back(is_packed(checked.model.tensors(), linear.tensor));
      }
      if (!rehearsed.insert(packed).second) continue;
      model.there_and_back(
          TunedBlock(checked.model, block, checked.forecast.parts, nullptr, model.rotary(), device),
          *backend);
    }
    rehearse_divergence(model, teacher, seq_len, device);
  });
}

void rehearse_products(const CheckedPreprocess& checked, const Device& device) {
  const auto backend = make_backend(checked.options.backend, device);
  const int64_t seq_len = checked.forecast.seq_len;
  at_place(while_choosing, [&] {
    const RehearsedModel base(checked.base, seq_len, device);
    base.forward();
    base.there_and_back(
        LoraBlock(checked.base, checked.original, 0, checked.options.lora, base.rotary(), device),
        *backend);
    if (checked.options.loss == TrainingLoss::divergence) {
      const RehearsedModel teacher(checked.original, seq_len, device);
      teacher.forward();
      return rehearse_divergence(base, teacher, /*least=*/1, device);
    }
    const NextTokenLoss loss(base.config(), base.head(), device.host());
    at::Tensor gradient;
    const auto of = [&](int64_t positions) {
      const std::vector<int32_t> tokens(static_cast<size_t>(positions + 1));
      loss(base.sample(), tokens, &gradient);
    };
    of(seq_len - 1);
    rehearse_positions(base.config(), seq_len - 1, of);
  });
}

}  // namespace bitmill
