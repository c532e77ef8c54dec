// The truth, as plainly as it can be said: spec sections 2 and 3, one line each.

#include <ATen/ATen.h>

#include "backend/backend.hpp"

namespace bitmill {
namespace {

class ReferenceLinear final : public StudentLinear {
 public:
  explicit ReferenceLinear(const FrozenLinear& frozen) : frozen_(frozen) {}

  at::Tensor forward(const at::Tensor& x, const LearnedScales& learned) const override {
    // W_low = r1_i r2_j (alpha_i S_ij + mu_i)   [rows, low]
    const at::Tensor low =
        learned.row_gain.unsqueeze(1) * learned.col_gain.unsqueeze(0) *
        (learned.row_scale.unsqueeze(1) * frozen_.signs + frozen_.row_mean.unsqueeze(1));
    // W_salient = s_i (q_ij - z_i)              [rows, salient]
    const at::Tensor salient =
        frozen_.code_scale.unsqueeze(1) * (frozen_.codes - frozen_.code_zero.unsqueeze(1));
    return at::mm(x.index_select(1, frozen_.low_columns), low.t()) +
           at::mm(x.index_select(1, frozen_.salient_columns), salient.t());
  }

 private:
  const FrozenLinear frozen_;
};

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::unique_ptr<StudentLinear> prepare(const FrozenLinear& frozen, ThreadPool&) const override {
    return std::make_unique<ReferenceLinear>(frozen);
  }
};

}  // namespace

std::unique_ptr<Backend> reference_backend() { return std::make_unique<ReferenceBackend>(); }

}  // namespace bitmill
