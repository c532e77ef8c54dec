#include "eval/eval_head.hpp"

#include "model/block_forward.hpp"
#include "model/device_weights.hpp"

namespace bitmill {

EvalHead::EvalHead(const EvalModel& model, const Device& device, const HeadWeights& like)
    : model_(model), device_(device) {
  if (model.whole != nullptr) return;
  weights_ = model.folder.load_head(like);
  device_weights_ = on_device(weights_, device);
}

at::Tensor EvalHead::logits(const at::Tensor& x) const {
  ThreadPool& pool = device_.host();
  if (model_.whole != nullptr) return model_.whole->logits(x, pool);
  return device_.fetch(
      head_logits(model_.folder.config(), device_weights_, device_.bring(x), pool));
}

}  // namespace bitmill
