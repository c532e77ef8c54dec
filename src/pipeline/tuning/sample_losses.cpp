#include "pipeline/tuning/sample_losses.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "model/tensor_floats.hpp"

namespace bitmill {

SampleShare share_of(const MeshRank& rank, int64_t samples, int64_t batch) {
  return {samples, batch, rank.mesh().replicas, rank.replica()};
}

std::vector<float> gather_losses(MeshRank& rank, const SampleShare& share, const at::Tensor& own) {
  const int last = rank.mesh().stages - 1;
  std::vector<double> all(static_cast<size_t>(share.samples()));
  if (rank.stage() == last) {
    const at::Tensor mine = own.to(at::kDouble);
    all = share.gather_in_order(rank.replicas(), doubles_of(mine), 1);
  }
  rank.control().broadcast(std::as_writable_bytes(std::span(all)), rank.mesh().rank_of(last, 0));
  std::vector<float> losses;
  for (const double value : all) losses.push_back(static_cast<float>(value));
  return losses;
}

float mean_loss(const std::vector<float>& losses) {
  const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
  const auto mean = static_cast<float>(sum / static_cast<double>(losses.size()));
  return std::isfinite(mean) ? mean : std::numeric_limits<float>::infinity();
}

}  // namespace bitmill
