#pragma once
// A model that is wholly in memory and runs forward, token by token or many at once: packed linears
// on their bits, the others as they are stored. Any family that the model layer knows.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "infer/session.hpp"
#include "model/source_model.hpp"
#include "product/product.hpp"

namespace bitmill {

// What computes the products: `fast` on the stored form, with a kernel of src/product; `reference`
// on float32 weights, with libtorch's matrix product: simple, and four bytes a weight.
enum class ProductPath { fast, reference };

struct ResidentOptions {
  ProductPath path = ProductPath::fast;
  // Of `fast` only: how precisely packed linears take their input, and what computes.
  Activations activations = Activations::int8;
  const CpuKernel* kernel = nullptr;  // from choose_cpu_kernel()
  bool int8_head = false;             // the head is rounded to int8, row by row
};

// Tokens that follow those of a session.
struct NewTokens {
  Session* session;
  std::span<const int32_t> ids;
};

class ResidentModel {
 public:
  // Reads all blocks, spread over `pool`. `source` must outlive the model: rows of the embedding
  // are read from its file when they are needed. FormatError and NumericError as SourceModel.
  ResidentModel(Files& files, const SourceModel& source, const ResidentOptions& options,
                ThreadPool& pool);

  const ModelConfig& config() const { return source_.config(); }

  // The last block's outputs [ids, hidden] for tokens that follow those of the session, which then
  // has them too. Any cut of a text into calls gives the same numbers, but for the last bits of the
  // reference path. REQUIRES: ids in the vocabulary, and room in the session.
  at::Tensor forward(Session& session, std::span<const int32_t> ids, ThreadPool& pool) const;
  // One pass for several sessions: the outputs of all parts, one below the other. Each part gets
  // the bits that forward() gives it alone, but on the reference path. When it throws, no session
  // has the new tokens. REQUIRES: also, at most tokens_per_pass ids in a part, no session twice.
  at::Tensor forward_together(std::span<const NewTokens> parts, ThreadPool& pool) const;
  // Next-token logits [T, vocab] float32 of the last block's outputs [T, hidden].
  at::Tensor logits(const at::Tensor& x, ThreadPool& pool) const;

  const std::string& kernel() const { return kernel_; }
  // What the model holds in memory. The embedding does not count: it stays in its file.
  int64_t resident_bytes() const { return resident_bytes_; }
  // What one token's products read of it.
  int64_t weight_bytes() const { return weight_bytes_; }

 private:
  struct Block {
    BlockVectors vectors;
    std::vector<std::unique_ptr<Product>> linears;
  };

  void load_head(const ResidentOptions& options, const ProductOptions& product);
  void count_bytes();
  at::Tensor embed(std::span<const int32_t> ids, int64_t first) const;

  const SourceModel& source_;
  std::string kernel_;
  std::vector<Block> blocks_;
  HeadWeights head_input_;  // without the head's own matrix
  std::unique_ptr<Product> head_;
  int64_t resident_bytes_ = 0;
  int64_t weight_bytes_ = 0;
};

}  // namespace bitmill
