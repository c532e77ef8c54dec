#pragma once
// The real meaning of a plan's actions: the method, on this rank's share of the samples.

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "data/windows.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"
#include "pipeline/executor.hpp"
#include "pipeline/live_block.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/sample_share.hpp"
#include "pipeline/source_hashes.hpp"

namespace bitmill {

// What a BlockCompute works with; all of it outlives it.
struct ComputeContext {
  const QuantizeOptions& options;
  const SourceModel& model;
  const Windows& windows;
  const Backend& backend;
  RunDir* run_dir;  // on rank 0, else null
  StreamBudget& budget;
  Communicator& comm;
  ThreadPool& pool;
  QuantizeObserver& observer;
};

class BlockCompute final : public Compute {
 public:
  explicit BlockCompute(const ComputeContext& context);
  ~BlockCompute() override;

  void embed(int turn) override;
  void load(int block) override;
  void teach(int block, int turn, bool saved) override;
  int64_t steps_per_epoch() const override { return share_.steps(); }
  void train_step(const Position& at) override;
  double finish_epoch(const Position& at) override;
  void save(const Progress& done) override;
  void pack(int block, int turn) override;
  void forward(int block, int turn) override;
  void drop(int block) override;
  void pass(int block, int turn) override;
  void reload(int block, int turn) override;

  // Of every block that this start packed for good, or passed on its way, in order. Losses that an
  // earlier start saw are NaN.
  std::vector<BlockReport> reports() const;

 private:
  bool last_turn(int turn) const { return turn == turns_ - 1; }
  // task(i) for every own sample, spread over the pool.
  void for_own_samples(const std::function<void(int64_t)>& task);
  std::vector<float> probe_and_advance(const BlockWeights& weights, const SaliencyLayout& layout);
  void advance(const BlockWeights& weights, const SampleStream& from, SampleStream& to);
  void report_block(int block, std::span<const double> closeness);

  const ComputeContext context_;
  SourceGuard guard_;
  const SampleShare share_;
  const int turns_;
  const Rotary rotary_;
  SampleStream teacher_;     // F_l; from teach on Y_norm = F_{l+1}
  SampleStream student_;     // Q_l; from forward on Q_{l+1}
  SampleStream homologous_;  // Y_homo
  std::unique_ptr<LiveBlock> live_;
  std::vector<double> losses_;        // of this epoch, per own sample
  std::vector<BlockReport> reports_;  // [blocks]
  std::vector<bool> reported_;        // [blocks]
};

}  // namespace bitmill
