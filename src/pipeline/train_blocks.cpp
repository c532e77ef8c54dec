#include "pipeline/train_blocks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "pipeline/blocks/block_compute.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/folder/joined_claim.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/folder/writer_wishes.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/idle_ranks.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/streams/stream_scratch.hpp"

namespace bitmill {
namespace {

// Rank 0 reads the run folder, and every rank gets what was found.
std::vector<BlockDone> broadcast_done(Communicator& comm, const RunSession* session,
                                      const Plan& plan) {
  std::vector<BlockDone> done(static_cast<size_t>(plan.blocks));
  if (session != nullptr) done = session->done();
  comm.broadcast(std::as_writable_bytes(std::span(done)), 0);
  return done;
}

// The reports of all stages, in block order, on every rank.
std::vector<BlockReport> gather_reports(Communicator& comm, const std::vector<BlockReport>& own) {
  std::vector<BlockReport> all = gather_joined<BlockReport>(comm, own);
  std::ranges::sort(all, {}, &BlockReport::block);
  return all;
}

// What all ranks together wrote of live blocks: the largest file, and the sum of bytes.
LiveBytes gather_live_bytes(Communicator& comm, const RunDir* run_dir) {
  const LiveBytes own = run_dir != nullptr ? run_dir->live_bytes() : LiveBytes();
  LiveBytes all;
  for (const LiveBytes& theirs : gather_value(comm, own)) {
    all.largest = std::max(all.largest, theirs.largest);
    all.written += theirs.written;
  }
  return all;
}

// Whether there is memory to write states beside training. Replicas of a stage must do the same,
// and each has made a forecast of its own: that of the leader counts.
bool agree_to_save_beside(const QuantizeStart& start, Communicator& replicas) {
  auto beside = static_cast<std::byte>(
      saves_beside_with(start.checked.forecast, start.options(), start.device_bytes));
  replicas.broadcast(std::span(&beside, 1), 0);
  return beside != std::byte{0};
}

// Where streams are kept, the blocks before them are not loaded, which would compare their weights.
// Each tensor is read by one rank.
void check_unread_blocks(const QuantizeStart& start, const Remaining& remaining, MeshRank& rank,
                         const RunDir* run_dir) {
  const std::vector<int> blocks = remaining.unvisited();
  const bool leads_job = start.comm.rank() == 0;
  if (leads_job && !blocks.empty()) {
    start.observer.phase_begins(fmt::format(
        "hashing the weights of {}",
        blocks.size() == 1 ? "1 block that is not loaded"
                           : fmt::format("{} blocks that are not loaded", blocks.size())));
  }
  const SourceModel& model = start.checked.model;
  for (const int block : blocks) {
    const TensorHashes now =
        hash_together(model, tensors_of_block(model, block), rank.control(), start.pool);
    if (leads_job) run_dir->check_source(block, now);
  }
}

// The bytes that the next start must find free beside kept streams. Only rank 0 asks.
int64_t room_of_next_start(const QuantizeStart& start) {
  if (start.comm.rank() != 0) return 0;
  return room_of_a_start(job_folders(start.options(), start.checked.forecast), start.files);
}

// On a rank with work. `run_dir` is null except on the leader of a stage. There, `waited_s` gets
// the seconds that the stage waited for its commits.
std::vector<BlockReport> train_stage(const QuantizeStart& start, const Plan& plan,
                                     const std::vector<BlockDone>& done, const StopWishes& wishes,
                                     MeshRank& rank, RunDir* run_dir, FrontierFiles* frontier,
                                     double& waited_s) {
  const QuantizeOptions& options = start.options();
  const std::unique_ptr<Backend> backend = make_backend(options.backend, start.device);
  StreamBudget budget(
      start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
      stream_scratch_path(options.scratch_dir, start.comm.rank()),
      {&start.device, room_for_streams(start.checked.forecast, start.device_bytes)});
  const bool beside = agree_to_save_beside(start, rank.replicas());
  std::optional<RunWriter> writer;
  const bool collects = rank.stage() == 0 && rank.mesh().stages > 1;
  if (run_dir != nullptr) writer.emplace(*run_dir, beside, collects);
  RunWriter* const leads = writer ? &*writer : nullptr;
  StopControl stop(rank, with_failures_of(leads, wishes));
  BlockCompute compute({options, plan, start.checked.model, start.checked.calibration.windows,
                        start.device, *backend, leads, beside, frontier, budget, rank, start.pool,
                        start.observer, room_of_next_start(start)});
  const KeptStreams kept = compute.find_kept_streams(done);
  const Remaining remaining(plan, done, kept);
  if (!options.verify_source) check_unread_blocks(start, remaining, rank, run_dir);
  const int replays = remaining.replays();
  if (start.comm.rank() == 0 && replays > 0) {
    start.observer.phase_begins(
        fmt::format("replaying {} of packed blocks, whose streams the others need",
                    replays == 1 ? "1 visit" : fmt::format("{} visits", replays)));
  }
  execute(plan, rank.stage(), done, compute, stop, start.observer, kept);
  // A GPU tells of a failure where somebody waits for it: after the last result that was read,
  // here.
  start.device.finish();
  if (leads) waited_s = leads->seconds_waited();
  return rank.leads() ? compute.reports() : std::vector<BlockReport>();
}

// After a stop, when all ranks have left: nobody appends a line any more. The state is saved, and
// the next start takes over lines that could not be copied.
void collect_events(RunSession& session, const QuantizeStart& start) {
  try {
    session.dir().events().collect();
  } catch (const FileError& error) {
    start.observer.phase_begins(fmt::format(
        "some lines are missing in blocks.jsonl until the next start: {}", error.what()));
  }
}

}  // namespace

void train_blocks(const QuantizeStart& start, const Plan& plan, RunSession* session,
                  QuantizeResult& result) {
  const std::vector<BlockDone> done = broadcast_done(start.comm, session, plan);
  MeshRank rank(start.checked.forecast.mesh, start.comm, start.way);
  const bool leads = rank.has_work() && rank.leads();
  const std::unique_ptr<Claim> claim =
      broadcast_claim(start.comm, start.options().work_dir, start.files, session, rank.has_work());
  std::optional<RunDir> joined;
  if (leads && session == nullptr) joined.emplace(start.files, *claim, rank.stage());
  RunDir* run_dir = joined ? &*joined : nullptr;
  if (session != nullptr) run_dir = &session->dir();
  std::optional<FrontierFiles> frontier;
  if (claim) frontier.emplace(start.files, *claim);
  std::vector<BlockReport> reports;
  const auto train = [&](const StopWishes& wishes) {
    rank.carry_out([&] {
      reports = train_stage(start, plan, done, wishes, rank, run_dir,
                            frontier ? &*frontier : nullptr, result.state_wait_seconds);
    });
  };
  try {
    work_beside_idle_ranks(start.comm, rank.mesh().ranks(), start.control.wishes, train);
  } catch (const AgreedStop&) {
    if (session != nullptr) collect_events(*session, start);
    throw;
  }
  result.blocks = gather_reports(start.comm, reports);
  const LiveBytes live = gather_live_bytes(start.comm, run_dir);
  result.state_bytes = live.largest;
  result.state_bytes_written = live.written;
}

}  // namespace bitmill
