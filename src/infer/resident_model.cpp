#include "infer/resident_model.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <cassert>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/pieces.hpp"
#include "format/config_file.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_linear.hpp"
#include "infer/reference_product.hpp"
#include "model/block_forward.hpp"
#include "model/family.hpp"
#include "product/dense_product.hpp"
#include "product/product_format.hpp"

namespace bitmill {
namespace {

std::span<const float> values_of(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// x [T, cols] -> [T, rows]
at::Tensor multiply(const Product& product, const at::Tensor& x, ThreadPool& pool) {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty({in.size(0), product.rows()}, in.options());
  product.multiply(values_of(in), in.size(0),
                   {out.data_ptr<float>(), static_cast<size_t>(out.numel())}, pool);
  return out;
}

std::vector<std::byte> stored_bytes(const TensorFolder& tensors, const std::string& name) {
  std::vector<std::byte> bytes(static_cast<size_t>(tensors.info(name).bytes));
  tensors.read(name, bytes);
  return bytes;
}

// Makes the product of any linear of a folder.
class ProductLoader {
 public:
  ProductLoader(Files& files, const SourceModel& source, ProductPath path, ProductOptions options)
      : source_(source), path_(path), options_(std::move(options)) {
    if (is_packed_folder(files, source.folder())) {
      format_ = &find_product_format(read_config_json(files, source.folder()), source.folder());
    }
  }

  std::unique_ptr<Product> load(const LinearShape& shape) const {
    if (path_ == ProductPath::reference) {
      return make_reference_product(source_.load_linear(shape));
    }
    const TensorFolder& tensors = source_.tensors();
    if (format_ != nullptr && is_packed(tensors, shape.tensor)) {
      return format_->read(tensors, shape.tensor, shape.rows, shape.cols, options_);
    }
    return make_dense_product(stored_bytes(tensors, shape.tensor), tensors.info(shape.tensor).dtype,
                              shape.rows, shape.cols, shape.tensor, options_);
  }

 private:
  const SourceModel& source_;
  const ProductPath path_;
  const ProductOptions options_;
  const ProductFormat* format_ = nullptr;  // null: nothing is packed
};

int64_t bytes_of(const Norm& norm) {
  int64_t bytes = 0;
  for (const at::Tensor& part : {norm.weight, norm.bias}) {
    if (part.defined()) bytes += static_cast<int64_t>(part.nbytes());
  }
  return bytes;
}

int64_t bytes_of(const BlockVectors& vectors) {
  int64_t bytes = bytes_of(vectors.input_norm) + bytes_of(vectors.middle_norm) +
                  bytes_of(vectors.query_norm) + bytes_of(vectors.key_norm);
  for (const at::Tensor& bias : vectors.biases) {
    if (bias.defined()) bytes += static_cast<int64_t>(bias.nbytes());
  }
  return bytes;
}

// The positions of all parts, one below the other.
Rotary rows_of(std::span<const NewTokens> parts) {
  const Rotary& all = parts.front().session->rotary;
  if (!all.cosine.defined()) return {};
  std::vector<at::Tensor> cosines, sines;
  for (const NewTokens& part : parts) {
    const Rotary rows = rows_of(part.session->rotary, part.session->length, std::ssize(part.ids));
    cosines.push_back(rows.cosine);
    sines.push_back(rows.sine);
  }
  if (parts.size() == 1) return {cosines.front(), sines.front()};
  return {at::cat(cosines), at::cat(sines)};
}

// Keys and values of every part go to its own cache, and every part looks into its own.
at::Tensor attend_parts(std::span<const NewTokens> parts, int64_t block, const at::Tensor& query,
                        const at::Tensor& key, const at::Tensor& value, ThreadPool& pool) {
  std::vector<at::Tensor> attended;
  int64_t row = 0;
  for (const NewTokens& part : parts) {
    BlockCache& cache = part.session->cache.block(block);
    const int64_t first = part.session->length, count = std::ssize(part.ids);
    cache.store(first, key.narrow(0, row, count), value.narrow(0, row, count));
    attended.push_back(cache.attend(first, query.narrow(0, row, count), pool));
    row += count;
  }
  return attended.size() == 1 ? attended.front() : at::cat(attended);
}

}  // namespace

ResidentModel::ResidentModel(Files& files, const SourceModel& source,
                             const ResidentOptions& options, ThreadPool& pool)
    : source_(source),
      kernel_(options.path == ProductPath::reference ? "reference"
                                                     : std::string(options.kernel->name)),
      blocks_(static_cast<size_t>(source.config().blocks)) {
  const at::NoGradGuard no_grad;
  const ProductOptions product = {.activations = options.activations,
                                  .kernel = options.kernel,
                                  .memory = std::make_shared<WeightMemory>()};
  const ProductLoader loader(files, source, options.path, product);
  pool.parallel_for(std::ssize(blocks_), [&](int64_t block) {
    blocks_[block].vectors = source.load_vectors(block);
    for (const LinearShape& shape : block_linears(config(), block)) {
      blocks_[block].linears.push_back(loader.load(shape));
    }
  });
  load_head(options, product);
  count_bytes();
}

void ResidentModel::load_head(const ResidentOptions& options, const ProductOptions& product) {
  head_input_ = source_.load_head_input();
  const std::string name = head_tensor(config());
  const TensorFolder& tensors = source_.tensors();
  const int64_t rows = config().vocab_size, cols = config().embedding_size;
  if (options.path == ProductPath::reference) {
    head_ = make_reference_product(source_.load_head().head);
    return;
  }
  const auto make = options.int8_head ? make_int8_product : make_dense_product;
  head_ = make(stored_bytes(tensors, name), tensors.info(name).dtype, rows, cols, name, product);
}

void ResidentModel::count_bytes() {
  resident_bytes_ = head_->resident_bytes() + bytes_of(head_input_.norm);
  weight_bytes_ = head_->weight_bytes();
  if (head_input_.projection.defined()) {
    const auto bytes = static_cast<int64_t>(head_input_.projection.nbytes());
    resident_bytes_ += bytes;
    weight_bytes_ += bytes;
  }
  for (const Block& block : blocks_) {
    resident_bytes_ += bytes_of(block.vectors);
    for (const auto& linear : block.linears) {
      resident_bytes_ += linear->resident_bytes();
      weight_bytes_ += linear->weight_bytes();
    }
  }
}

at::Tensor ResidentModel::forward(Session& session, std::span<const int32_t> ids,
                                  ThreadPool& pool) const {
  assert(session.length + std::ssize(ids) <= session.cache.positions());
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> outputs;
  for_pieces(std::ssize(ids), tokens_per_pass, [&](int64_t first, int64_t count) {
    const NewTokens part{&session, ids.subspan(first, count)};
    outputs.push_back(forward_together({&part, 1}, pool));
  });
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs);
}

at::Tensor ResidentModel::forward_together(std::span<const NewTokens> parts,
                                           ThreadPool& pool) const {
  const at::NoGradGuard no_grad;
  const Rotary rotary = rows_of(parts);
  std::vector<at::Tensor> inputs;
  for (const NewTokens& part : parts) inputs.push_back(embed(part.ids, part.session->length));
  at::Tensor x = inputs.size() == 1 ? inputs.front() : at::cat(inputs);
  for (int64_t index = 0; index < config().blocks; ++index) {
    const Block& block = blocks_[index];
    x = block_forward(
        config(), block.vectors, rotary, x,
        [&](size_t linear, const at::Tensor& in) {
          return multiply(*block.linears[linear], in, pool);
        },
        [&](const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
          return attend_parts(parts, index, query, key, value, pool);
        },
        activate_by_token);
  }
  for (const NewTokens& part : parts) part.session->length += std::ssize(part.ids);
  return x;
}

// A projection is libtorch's product, whose last bits depend on the number of tokens: one by one.
at::Tensor ResidentModel::embed(std::span<const int32_t> ids, int64_t first) const {
  if (config().embedding_size == config().hidden_size) return source_.embed(ids, first);
  std::vector<at::Tensor> rows;
  for (size_t i = 0; i < ids.size(); ++i) {
    rows.push_back(source_.embed(ids.subspan(i, 1), first + static_cast<int64_t>(i)));
  }
  return at::cat(rows);
}

at::Tensor ResidentModel::logits(const at::Tensor& x, ThreadPool& pool) const {
  const at::NoGradGuard no_grad;
  if (!head_input_.projection.defined()) {
    return multiply(*head_, head_input(config(), head_input_, x, pool), pool);
  }
  std::vector<at::Tensor> rows;  // as in embed()
  for (int64_t i = 0; i < x.size(0); ++i) {
    rows.push_back(head_input(config(), head_input_, x.narrow(0, i, 1), pool));
  }
  return multiply(*head_, at::cat(rows), pool);
}

}  // namespace bitmill
