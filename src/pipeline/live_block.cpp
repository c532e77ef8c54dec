#include "pipeline/live_block.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <regex>
#include <utility>

#include "base/error.hpp"
#include "method/pack.hpp"
#include "pipeline/packed_share.hpp"

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

void LiveBlock::quantize(std::vector<float> saliency, const Backend* backend,
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
  if (backend == nullptr) return;
  student_ = std::make_unique<StudentBlock>(model_.config(), weights_.vectors, linears_, *layout_,
                                            *backend, rotary, pool_);
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
  BlockWeights out{weights_.vectors, {}};
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (!packed_[role]) {
      out.linears.push_back(linears_[role].kept);
      continue;
    }
    at::Tensor dense = at::empty({shapes_[role].rows, shapes_[role].cols});
    dequantize(*packed_[role], {dense.data_ptr<float>(), static_cast<size_t>(dense.numel())});
    out.linears.push_back(std::move(dense));
  }
  return out;
}

double LiveBlock::bits_per_weight() const {
  int64_t bits = 0, weights = 0;
  for (size_t role = 0; role < shapes_.size(); ++role) {
    const int64_t rows = shapes_[role].rows, cols = shapes_[role].cols;
    if (role < packed_.size() && packed_[role]) {
      bits += stored_bits(*packed_[role]);
    } else if (linears_[role].quantized()) {
      bits += stored_bits(rows, cols, linears_[role].initial.frozen.salient_columns.size(0));
    } else {
      continue;
    }
    weights += rows * cols;
  }
  return weights == 0 ? 0 : static_cast<double>(bits) / static_cast<double>(weights);
}

void LiveBlock::save(RunDir* run_dir, const Progress& done, const std::vector<float>& losses) {
  const ShardedOptimizer::State state = optimizer_->gather_state();
  if (run_dir == nullptr) return;
  run_dir->write_live(done, {{"learned", learned_},
                             {"first_moment", state.first_moment},
                             {"second_moment", state.second_moment},
                             {"saliency", saliency_},
                             {"losses", losses}});
}

std::vector<float> LiveBlock::restore(RunDir* run_dir, const Backend* backend, const Rotary& rotary,
                                      int64_t samples) {
  int64_t cols = 0;
  for (const LinearShape& shape : shapes_) cols += shape.cols;
  LiveVectors vectors;
  int64_t steps = 0;
  if (run_dir != nullptr) steps = run_dir->state().read_live(block_, vectors).steps;
  const auto everywhere = [&](const char* name, int64_t size) {
    std::vector<float>& values = vectors[name];
    BITMILL_CHECK(run_dir == nullptr || std::ssize(values) == size, FormatError,
                  fmt::format("the saved state of block {} has {} values of \"{}\", and {} belong "
                              "there: build it again with --redo-blocks {}",
                              block_, values.size(), name, size, block_));
    values.resize(static_cast<size_t>(size));
    comm_.broadcast(std::as_writable_bytes(std::span(values)), 0);
    return std::move(values);
  };
  quantize(everywhere("saliency", cols), backend, rotary);
  learned_ = everywhere("learned", layout_->size());
  const ShardedOptimizer::State state{everywhere("first_moment", layout_->size()),
                                      everywhere("second_moment", layout_->size())};
  comm_.broadcast(std::as_writable_bytes(std::span(&steps, 1)), 0);
  optimizer_->restore(state, steps);
  return everywhere("losses", samples);
}

void LiveBlock::reload(RunDir* run_dir, int turn) {
  std::optional<SafetensorsFile> file;
  if (run_dir != nullptr) file.emplace(run_dir->state().open_packed(block_, turn));
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (is_kept(options_, block_, shapes_[role].tensor)) {
      linears_.push_back({{}, weights_.linears[role]});
      packed_.push_back(nullptr);
      continue;
    }
    linears_.emplace_back();
    packed_.push_back(share_packed(comm_, file ? &*file : nullptr, shapes_[role]));
    weights_.linears[role].reset();
  }
}

}  // namespace bitmill
