#include "pipeline/blocks/live_block.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <utility>

#include "base/error.hpp"
#include "method/descent.hpp"
#include "method/pack.hpp"
#include "model/device_weights.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/blocks/packed_broadcast.hpp"

namespace bitmill {
LiveBlock::LiveBlock(const SourceModel& model, BlockWeights weights, int block,
                     const QuantizeOptions& options, int64_t steps_per_epoch,
                     const Replicas& replicas, const Device& device)
    : block_(block),
      model_(model),
      options_(options),
      replicas_(replicas),
      comm_(replicas.words),
      device_(device),
      pool_(device.host()),
      shapes_(block_linears(model.config(), block)),
      weights_(std::move(weights)),
      device_weights_(on_device(weights_, device)),
      rates_{options.method.schedule, options.epochs * steps_per_epoch} {}

void LiveBlock::quantize(InputStatistics inputs, const Backend* backend, const Rotary& rotary) {
  const auto width = MomentLayout::needed(options_.method);
  const std::optional<MomentLayout> layout =
      width ? std::make_optional<MomentLayout>(shapes_, *width) : std::nullopt;
  saliency_ = std::move(inputs.saliency);
  mean_squares_ = layout ? layout->mean_squares(inputs.moments) : at::empty({0});
  begin_linears([&](size_t role, InitialLinear& linear) {
    if (options_.method.init != Init::descent) return;
    descend(weights_.linears[role], floats_of(layout->part(inputs.moments, shapes_[role].role)),
            linear, pool_);
  });
  inputs.moments.reset();
  begin_training(backend, rotary);
}

void LiveBlock::begin_linears(const std::function<void(size_t, InitialLinear&)>& finish) {
  std::optional<MomentLayout> channels;
  if (mean_squares_.numel() > 0) channels.emplace(shapes_, MomentLayout::Width::channels);
  std::span<const float> rest = floats_of(saliency_);
  for (size_t role = 0; role < shapes_.size(); ++role) {
    at::Tensor& weight = weights_.linears[role];
    const auto saliency = rest.first(static_cast<size_t>(shapes_[role].cols));
    rest = rest.subspan(saliency.size());
    if (is_kept(options_, block_, shapes_[role].tensor)) {
      linears_.push_back({{}, device_weights_.linears[role]});
      weight.reset();  // where the device has a copy of its own
      continue;
    }
    const at::Tensor source = take_source(role);
    InitialLinear linear =
        quantize_linear(source, saliency, options_.method, pool_,
                        channels ? floats_of(channels->part(mean_squares_, shapes_[role].role))
                                 : std::span<const float>());
    finish(role, linear);
    linears_.push_back({std::move(linear), {}});
    weight.reset();
  }
}

// Descent works on the host, and with values that are there.
at::Tensor LiveBlock::take_source(size_t role) {
  at::Tensor there = std::exchange(device_weights_.linears[role], at::Tensor());
  if (options_.method.init == Init::descent) return weights_.linears[role];
  if (there.scalar_type() == at::kFloat) return there;
  there.reset();  // rounded: signs and codes are taken from the source
  return device_.bring(weights_.linears[role], at::kFloat);
}

void LiveBlock::begin_training(const Backend* backend, const Rotary& rotary) {
  std::vector<LearnedTensors> learned;
  for (BlockLinear& linear : linears_) {
    if (!linear.quantized()) continue;
    learned.push_back(learned_of(linear.initial, options_.method));
    linear.initial.latents.reset();  // from here on they are among the learned values
  }
  layout_.emplace(learned);
  learned_ = layout_->initial_values(learned, device_.torch());
  learned.clear();
  optimizer_ = std::make_unique<ShardedOptimizer>(*layout_, rates_, replicas_, device_);
  if (backend == nullptr) return;
  student_ =
      std::make_unique<StudentBlock>(model_.config(), device_weights_.vectors, linears_, *layout_,
                                     options_.method.loss, *backend, rotary, pool_);
  student_->begin_step(learned_);
}

void LiveBlock::step(int64_t batch_size, const SumUnit& unit) {
  optimizer_->step(batch_size, unit, learned_);
  if (student_) student_->begin_step(learned_);
}

void LiveBlock::finish_epoch() {
  if (!options_.half_latents || !layout_->has_large()) return;
  round_large(state(), pool_);
  if (student_) student_->begin_step(learned_);
}

void LiveBlock::pack() {
  student_.reset();
  optimizer_.reset();
  const std::vector<LearnedLinear> learned = layout_->views(learned_);
  std::vector<size_t> quantized;  // roles, in the order of `learned`
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (linears_[role].quantized()) quantized.push_back(role);
  }
  packed_.assign(shapes_.size(), nullptr);
  device_.for_units(std::ssize(quantized), [&](int64_t i) {
    const at::NoGradGuard no_grad;
    const size_t role = quantized[static_cast<size_t>(i)];
    packed_[role] = std::make_shared<const PackedLinear>(pack_linear(
        shapes_[role].tensor, linears_[role].initial.frozen, learned[static_cast<size_t>(i)]));
    linears_[role].initial = {};
  });
  learned_.reset();
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
  BlockWeights out{device_weights_.vectors, {}};
  out.linears.resize(shapes_.size());
  device_.for_units(std::ssize(shapes_), [&](int64_t i) {
    const auto role = static_cast<size_t>(i);
    if (!packed_[role]) {
      out.linears[role] = linears_[role].kept;
      return;
    }
    out.linears[role] = dense_on(device_, *packed_[role]);
  });
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

std::vector<LiveBlock::FrozenPart> LiveBlock::frozen_parts() const {
  std::vector<FrozenPart> parts;
  if (options_.method.init != Init::descent) return parts;
  for (size_t role = 0; role < linears_.size(); ++role) {
    if (!linears_[role].quantized()) continue;
    const FrozenLinear& frozen = linears_[role].initial.frozen;
    parts.push_back({fmt::format("codes.{}", role), Dtype::uint8, frozen.codes});
    parts.push_back({fmt::format("row_mean.{}", role), Dtype::float32, frozen.row_mean});
    if (!frozen.signs.defined()) continue;
    // Bytes -1 and +1. Saved as uint8, because our dtypes have no signed 8-bit type.
    parts.push_back({fmt::format("signs.{}", role), Dtype::uint8, frozen.signs});
  }
  return parts;
}

std::vector<TensorSource> LiveBlock::tensors_to_save(const Progress& done,
                                                     const at::Tensor& losses) {
  // A bfloat16 file would lose bits in the middle of an epoch: values are rounded only at its end.
  const bool half =
      options_.half_latents && done.steps * options_.epochs == done.epochs * rates_.total_steps;
  std::vector<TensorSource> tensors =
      state_tensors(state(), half ? Dtype::bfloat16 : Dtype::float32, pool_);
  const auto add = [&](const std::string& name, Dtype dtype, std::span<const std::byte> bytes) {
    tensors.push_back(
        {name, dtype, {std::ssize(bytes) / dtype_bytes(dtype)}, [bytes](const ByteSink& sink) {
           sink(bytes);
         }});
  };
  add("saliency", Dtype::float32, bytes_of(saliency_));
  add("mean_squares", Dtype::float32, bytes_of(mean_squares_));
  add("losses", Dtype::float32, bytes_of(losses));
  for (const FrozenPart& part : frozen_parts()) add(part.name, part.dtype, bytes_of(part.tensor));
  return tensors;
}

void LiveBlock::save_epoch(RunWriter* writer, bool beside, const Progress& done,
                           const at::Tensor& losses, const std::string& event) {
  const std::vector<TensorSource> tensors = tensors_to_save(done, losses);
  if (writer != nullptr) return writer->save_epoch(done, tensors, event);
  take_part(tensors, RunWriter::times_produced(beside));
}

void LiveBlock::save_steps(RunWriter* writer, const Progress& done, const at::Tensor& losses) {
  const std::vector<TensorSource> tensors = tensors_to_save(done, losses);
  if (writer != nullptr) return writer->save_steps(done, tensors);
  take_part(tensors, RunDir::produced_per_write);
}

at::Tensor LiveBlock::restore(const RunDir* run_dir, const Backend* backend, const Rotary& rotary,
                              int64_t samples) {
  std::optional<SavedBlock> saved;
  if (run_dir != nullptr) saved.emplace(run_dir->state().open_live(block_));
  const SafetensorsFile* file = saved ? &saved->tensors : nullptr;
  const auto tensor = [&](const char* name, int64_t size) {
    at::Tensor values = at::empty({size});
    broadcast_tensor(file, name, bytes_of(values), comm_);
    return values;
  };
  int64_t channels = 0;
  for (const LinearShape& shape : shapes_) channels += shape.cols;
  saliency_ = tensor("saliency", channels);
  mean_squares_ =
      tensor("mean_squares", MomentLayout::needed(options_.method)
                                 ? MomentLayout(shapes_, MomentLayout::Width::channels).size()
                                 : 0);
  begin_linears([](size_t, InitialLinear&) {});
  for (const FrozenPart& part : frozen_parts()) {
    broadcast_tensor(file, part.name, bytes_of(part.tensor), comm_);
  }
  begin_training(backend, rotary);
  restore_state(state(), file, comm_);
  int64_t steps = saved ? saved->progress.steps : 0;
  comm_.broadcast(std::as_writable_bytes(std::span(&steps, 1)), 0);
  optimizer_->set_steps(steps);
  if (student_) student_->begin_step(learned_);
  return tensor("losses", samples);
}

void LiveBlock::reload(const RunDir* run_dir, int turn) {
  std::optional<SafetensorsFile> file;
  if (run_dir != nullptr) file.emplace(run_dir->state().open_packed(block_, turn));
  for (size_t role = 0; role < shapes_.size(); ++role) {
    if (is_kept(options_, block_, shapes_[role].tensor)) {
      linears_.push_back({{}, device_weights_.linears[role]});
      packed_.push_back(nullptr);
      weights_.linears[role].reset();
      continue;
    }
    device_weights_.linears[role].reset();
    linears_.emplace_back();
    packed_.push_back(broadcast_packed(comm_, file ? &*file : nullptr, shapes_[role]));
    weights_.linears[role].reset();
  }
}

}  // namespace bitmill
