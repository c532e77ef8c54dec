#pragma once
// The real meaning of a plan's actions: the method, on this rank's share of the samples.

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "data/windows.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"
#include "pipeline/blocks/executor.hpp"
#include "pipeline/blocks/live_block.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/streams/stream_link.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

// What a BlockCompute works with; all of it outlives it.
struct ComputeContext {
  const QuantizeOptions& options;
  const Plan& plan;
  const SourceModel& model;
  const Windows& windows;
  const Backend& backend;
  RunDir* run_dir;  // where this rank leads its stage, else null
  StreamBudget& budget;
  MeshRank& rank;
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
  void forward(int block, int turn, bool wanted) override;
  void drop(int block, bool comes_back) override;
  void pass(int block, int turn) override;
  void reload(int block, int turn) override;
  bool has_arrived(int block, int turn) override;
  void receive(int block, int turn) override;
  bool has_room() override;
  void send(int block, int turn) override;
  bool all_sent() override;
  void expect(int turn) override;
  void leave_streams() override;

  // Of every block of this stage that this start packed for good, or passed on its way, in order.
  // Losses that an earlier start saw are NaN.
  std::vector<BlockReport> reports() const;

 private:
  // Shared where two read it: what the teacher makes of a block is a target there, and the next
  // block's input. Whoever is the only one left may change it in place.
  using Stream = std::shared_ptr<SampleStream>;
  // What a loop over samples reads; an entry may be null.
  using Sources = std::initializer_list<const SampleStream*>;

  bool last_turn(int turn) const { return turn == context_.plan.turns() - 1; }
  Communicator& replicas() const { return context_.rank.replicas(); }
  Stream new_stream() const { return new_stream(share_.own_count()); }
  Stream new_stream(int64_t samples) const;
  double tokens() const;  // of the calibration
  // Streams that travel with a turn.
  int travellers(int turn) const { return context_.plan.begins_band(turn) ? 2 : 1; }
  // Takes what `block` reads at this turn into student_, and gives the teacher's stream.
  Stream begin_visit(int block, int turn);
  // Streams that travel move on, where there are any. On the thread that carries out the plan.
  void pump();
  // To be called when own sample i is about to be computed, on any thread: what `sources` have on
  // disk of the sample that a thread takes next begins to come.
  void read_ahead(int64_t i, Sources sources) const;
  // task(i) for every own sample, spread over the pool; it reads sample i of `sources`.
  void for_own_samples(Sources sources, const std::function<void(int64_t)>& task);
  // Y_homo of every own sample; the moments of the linears' inputs on the way, where they are
  // needed.
  at::Tensor teach_homologous();
  at::Tensor probe_and_advance(const BlockWeights& weights, const SaliencyLayout& layout,
                               const SampleStream& from, SampleStream& to);
  void advance(const BlockWeights& weights, const SampleStream& from, SampleStream& to);
  // Of the samples that a step went over, after it. NumericError names the first whose loss is not
  // finite.
  void check_losses(const Position& at) const;
  // Losses of this epoch, of all samples in order.
  std::vector<double> all_losses() const;
  void report_block(int block, std::span<const double> closeness);

  const ComputeContext context_;
  SourceGuard guard_;
  const SampleShare share_;
  const Rotary rotary_;
  std::map<std::pair<int, int>, Stream> student_inputs_;  // Q_l^(k), by (block l, turn k)
  std::map<int, Stream> teacher_inputs_;                  // F_l, by block l: of this band
  std::map<int, Stream> targets_;  // Y_norm, by block: while a later turn of the band needs it
  Stream student_;                 // Q_l^(k) of the visit under way; from forward on Q_{l+1}^(k)
  Stream homologous_;              // Y_homo of it
  std::unique_ptr<LiveBlock> live_;
  std::optional<StreamLink> link_;    // where there are several stages
  const at::Tensor losses_;           // of this epoch: a slot per own sample, float32
  std::vector<BlockReport> reports_;  // [blocks]
  std::vector<bool> reported_;        // [blocks]
};

}  // namespace bitmill
