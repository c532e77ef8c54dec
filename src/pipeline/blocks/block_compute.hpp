#pragma once
// What each action of a plan does: the method, applied to this rank's share of the samples.
// block_compute.cpp has the actions; block_reports.cpp has the losses and the reports;
// block_streams.cpp has the streams that a block reads and hands on: between blocks, between
// stages, and at a stop.

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "checkpoint/frontier_files.hpp"
#include "checkpoint/run_writer.hpp"
#include "comm/communicator.hpp"
#include "data/windows.hpp"
#include "device/device.hpp"
#include "method/loss.hpp"
#include "model/sample_stream.hpp"
#include "model/source_model.hpp"
#include "pipeline/blocks/executor.hpp"
#include "pipeline/blocks/frontier_streams.hpp"
#include "pipeline/blocks/live_block.hpp"
#include "pipeline/blocks/weights_ahead.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/streams/stream_link.hpp"
#include "pipeline/sums/sample_share.hpp"

namespace bitmill {

// What a BlockCompute works with. All of it outlives the BlockCompute.
struct ComputeContext {
  const QuantizeOptions& options;
  const Plan& plan;
  const SourceModel& model;
  const Windows& windows;
  const Device& device;  // where this rank computes
  const Backend& backend;
  RunWriter* writer;        // where this rank leads its stage, else null
  bool save_beside;         // as of the writer; the same on all replicas of a stage
  FrontierFiles* frontier;  // where streams are kept at a stop; null: none are
  StreamBudget& budget;
  MeshRank& rank;
  ThreadPool& pool;  // the host's
  QuantizeObserver& observer;
  int64_t room_of_a_start = 0;  // as of FrontierStreams
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
  void save_epoch(const Progress& done, const FinishedEpoch& epoch) override;
  void save_steps(const Progress& done) override;
  void settle() override;
  double seconds_to_leave() const override;
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
  void expect(int block, int turn) override;
  void take_kept(const KeptUse& use) override;
  void leave_streams(const std::function<void()>& expect_next) override;
  void keep_streams() override;

  // Collective over the ranks with work, before the first action. Which streams of an earlier start
  // take_kept() can take, for execute().
  KeptStreams find_kept_streams(const std::vector<BlockDone>& done);

  // Reports of the blocks of this stage that this start packed for good, or read back as packed, in
  // block order. Losses that only an earlier start saw are NaN.
  std::vector<BlockReport> reports() const;

 private:
  // Two readers may share one SampleStream: the teacher's outputs of a block are the targets of
  // that block and the inputs of the next one. When only one owner is left, it may overwrite the
  // samples.
  using Stream = std::shared_ptr<SampleStream>;
  // The streams that a loop over samples reads. An entry may be null.
  using Sources = std::initializer_list<const SampleStream*>;

  // The visit under way, from teach() or pass() to forward().
  struct Visit {
    int block = -1;
    int turn = 0;
  };

  bool last_turn(int turn) const { return turn == context_.plan.turns() - 1; }
  // Where this rank leads its stage: the run folder, with everything committed. Else null.
  const RunDir* settled() const;
  Communicator& replicas() const { return context_.rank.replicas(); }
  Stream new_stream() const { return new_stream(share_.own_count()); }
  Stream new_stream(int64_t samples) const;
  double tokens() const;  // tokens of the calibration
  // How many streams travel with a turn: the first turn of a band takes the teacher's along.
  int travellers(int turn) const { return context_.plan.begins_band(turn) ? 2 : 1; }
  // Moves the student's input of `block` at this turn into student_, makes targets_[block], and
  // returns the teacher's input; null where the turn does not begin a band.
  Stream begin_visit(int block, int turn);
  // Moves the streams between stages on, where there are several stages. To be called only on the
  // thread that carries out the plan.
  void pump();
  // To be called, on any thread, before own sample i is computed. Starts to fetch from disk the
  // sample of each of `sources` that a thread will take next.
  void read_ahead(int64_t i, Sources sources) const;
  // To be called after own sample i was queued: starts to copy the next sample of each of `sources`
  // to the device, where it does not lie there.
  void bring_ahead(int64_t i, Sources sources) const;
  // Calls task(i) for every own sample, in the lanes of the device; it reads sample i of `sources`.
  // `what`, `block`: as for at_sample().
  void for_own_samples(const char* what, int block, Sources sources,
                       const std::function<void(int64_t)>& task);
  // Computes Y_homo of every own sample. Returns the second moments of the linears' inputs;
  // undefined where no setting needs them.
  at::Tensor teach_homologous(int block);
  // The next two compute the full-precision block.
  at::Tensor probe_and_advance(int block, const SaliencyLayout& layout, const SampleStream& from,
                               SampleStream& to);
  void advance(int block, const SampleStream& from, SampleStream& to);
  // Has the weights of the next block read while a GPU trains this one.
  void begin_next_weights(const Position& at);
  // Of own sample i, for the error where it cannot be kept. `block` may be
  // StreamOrigin::embeddings.
  StreamOrigin full_precision(int block, int64_t i) const;
  StreamOrigin packed(int block, int64_t i) const;
  // Calls task() for own sample i of a block. Where a GPU runs out of memory, the error begins with
  // `what`, which is computed, and these two.
  void at_sample(const char* what, int block, int64_t i, const std::function<void()>& task) const;
  // Calls work(). Where a GPU runs out of memory in it, the error ends with the options of
  // `quantize` that take less; of naming_place() it also begins with the place.
  void advising(const std::function<void()>& work) const;
  void naming_place(const std::string& place, const std::function<void()>& work) const;
  // Sample i of a stream, on the device.
  at::Tensor brought(const SampleStream& from, int64_t i) const;
  // NumericError names the first own sample whose last loss is not finite.
  void check_losses(const Position& at) const;
  // What to do about the loss of own sample `own` that is not finite.
  std::string advice_for_loss(const Position& at, size_t own) const;
  // Losses of this epoch, of all samples, in sample order.
  std::vector<double> all_losses() const;
  void report_block(int block, std::span<const Closeness> own);

  const ComputeContext context_;
  SourceGuard guard_;
  const SampleShare share_;
  const Rotary rotary_;
  std::map<std::pair<int, int>, Stream> student_inputs_;  // Q_l^(k), by (block l, turn k)
  std::map<int, Stream> teacher_inputs_;                  // F_l, by block l, of this band
  std::map<int, Stream> targets_;  // Y_norm, by block; kept while a later turn of the band needs it
  Stream student_;                 // Q_l^(k) of the current visit; after forward, Q_{l+1}^(k)
  Stream homologous_;              // Y_homo of the current visit
  Visit visit_;
  std::unique_ptr<LiveBlock> live_;
  std::optional<StreamLink> link_;  // where there are several stages
  std::optional<FrontierStreams> frontier_;
  WeightsAhead ahead_;
  const at::Tensor losses_;           // of this epoch: [own samples] float32, on the device
  std::vector<BlockReport> reports_;  // [blocks]
  std::vector<bool> reported_;        // [blocks]
  std::set<int> logged_;              // blocks that have their line in blocks.jsonl
};

}  // namespace bitmill
