#include "cli/commands/product_forward.hpp"

namespace bitmill {

at::Tensor ProductForward::forward(std::span<const int32_t> ids, ThreadPool& pool) const {
  Session session(model_.config(), std::ssize(ids));
  return model_.forward(session, ids, pool);
}

at::Tensor ProductForward::logits(const at::Tensor& x, ThreadPool& pool) const {
  return model_.logits(x, pool);
}

}  // namespace bitmill
