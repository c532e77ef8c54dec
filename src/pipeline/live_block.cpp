#include "pipeline/live_block.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "method/pack.hpp"

namespace bitmill {

bool is_kept(const QuantizeOptions& options, int64_t block, const std::string& tensor) {
  if (options.max_blocks > 0 && block >= options.max_blocks) return true;
  return !options.ignore.empty() && std::regex_search(tensor, std::regex(options.ignore));
}

LiveBlock::LiveBlock(const SourceModel& model, int block, const QuantizeOptions& options,
                     Communicator& comm, ThreadPool& pool)
    : block_(block),
      model_(model),
      options_(options),
      comm_(comm),
      pool_(pool),
      shapes_(block_linears(model.config(), block)),
      weights_(model.load_block(block)) {}

void LiveBlock::quantize(std::vector<float> saliency, const Backend& backend,
                         const Rotary& rotary) {
  saliency_ = std::move(saliency);
  std::vector<InitialLinear> quantized;
  std::span<const float> rest = saliency_;
  for (size_t role = 0; role < shapes_.size(); ++role) {
    at::Tensor& weight = weights_.linears[role];
    const auto part = rest.first(static_cast<size_t>(shapes_[role].cols));
    rest = rest.subspan(part.size());
    if (is_kept(options_, block_, shapes_[role].tensor)) {
      linears_.push_back({{}, weight});
      continue;
    }
    linears_.push_back({quantize_linear(weight, part, options_.method, pool_), {}});
    quantized.push_back(linears_.back().initial);
    weight.reset();
  }
  layout_.emplace(quantized, options_.method);
  learned_ = layout_->initial_values(quantized);
  optimizer_ = std::make_unique<ShardedOptimizer>(*layout_, comm_, pool_);
  student_ = std::make_unique<StudentBlock>(model_.config(),
                                            BlockNorms{weights_.input_norm, weights_.middle_norm},
                                            linears_, *layout_, backend, rotary, pool_);
}

void LiveBlock::step(int64_t batch_size, const ShardedOptimizer::Unit& unit) {
  optimizer_->step(batch_size, unit, learned_);
}

void LiveBlock::pack() {
  student_.reset();
  packed_.clear();
  const std::vector<LearnedScales> learned = layout_->views(learned_);
  size_t next = 0;
  for (size_t role = 0; role < shapes_.size(); ++role) {
    packed_.push_back(
        linears_[role].quantized()
            ? std::make_shared<const PackedLinear>(
                  pack_linear(shapes_[role].tensor, linears_[role].initial.frozen, learned[next++]))
            : nullptr);
  }
}

std::vector<TensorSource> LiveBlock::packed_tensors() const {
  std::vector<TensorSource> all;
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (!packed_[role]) continue;
    for (TensorSource& tensor : bitmill::packed_tensors(shapes_[role].tensor, packed_[role])) {
      all.push_back(std::move(tensor));
    }
  }
  return all;
}

BlockWeights LiveBlock::deployed_weights() const {
  BlockWeights out{weights_.input_norm, weights_.middle_norm, {}};
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (!packed_[role]) {
      out.linears.push_back(linears_[role].kept);
      continue;
    }
    at::Tensor dense = at::empty({shapes_[role].rows, shapes_[role].cols});
    const std::vector<float> values = dequantize(*packed_[role]);
    std::copy(values.begin(), values.end(), dense.data_ptr<float>());
    out.linears.push_back(std::move(dense));
  }
  return out;
}

double LiveBlock::bits_per_weight() const {
  int64_t bits = 0, weights = 0;
  for (const auto& linear : packed_) {
    if (!linear) continue;
    bits += stored_bits(*linear);
    weights += linear->rows * linear->cols;
  }
  return weights == 0 ? 0 : static_cast<double>(bits) / static_cast<double>(weights);
}

void LiveBlock::save(RunDir* run_dir, int turns_done, int epochs_done) {
  const ShardedOptimizer::State state = optimizer_->gather_state();
  if (run_dir == nullptr) return;
  run_dir->write_live({block_, turns_done, epochs_done, optimizer_->steps()},
                      {{"learned", learned_},
                       {"first_moment", state.first_moment},
                       {"second_moment", state.second_moment},
                       {"saliency", saliency_}});
}

void LiveBlock::restore(RunDir* run_dir, const Backend& backend, const Rotary& rotary) {
  int64_t cols = 0;
  for (const LinearShape& shape : shapes_) cols += shape.cols;
  std::map<std::string, std::vector<float>> vectors;
  int64_t steps = 0;
  if (run_dir != nullptr) steps = run_dir->read_live(block_, vectors).steps;
  const auto everywhere = [&](std::vector<float> values, int64_t size) {
    values.resize(static_cast<size_t>(size));
    comm_.broadcast(std::as_writable_bytes(std::span(values)), 0);
    return values;
  };
  quantize(everywhere(vectors["saliency"], cols), backend, rotary);
  learned_ = everywhere(vectors["learned"], layout_->size());
  const ShardedOptimizer::State state{everywhere(vectors["first_moment"], layout_->size()),
                                      everywhere(vectors["second_moment"], layout_->size())};
  comm_.broadcast(std::as_writable_bytes(std::span(&steps, 1)), 0);
  optimizer_->restore(state, steps);
}

}  // namespace bitmill
