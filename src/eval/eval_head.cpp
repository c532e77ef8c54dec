#include "eval/eval_head.hpp"

#include "model/block_forward.hpp"

namespace bitmill {

EvalHead::EvalHead(const EvalModel& model, const HeadWeights& like) : model_(model) {
  if (model.whole == nullptr) weights_ = model.folder.load_head(like);
}

at::Tensor EvalHead::logits(const at::Tensor& x, ThreadPool& pool) const {
  if (model_.whole != nullptr) return model_.whole->logits(x, pool);
  return head_logits(model_.folder.config(), weights_, x, pool);
}

}  // namespace bitmill
