#include "pipeline/quantize.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/blocks/block_compute.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/folder/writer_wishes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/idle_ranks.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

// What the leader of another stage needs to join rank 0's claim and write to the run folder.
struct LeaderPass {
  int generation = 0;
  std::array<char, 64> token = {};
};
// Other ranks write under rank 0's claim: the leaders of the other stages the files of their own
// blocks; and replicas, where streams are kept, their samples. Null on a rank that does not join.
std::unique_ptr<Claim> broadcast_claim(Communicator& comm, const QuantizeOptions& options,
                                       Files& files, const RunSession* session, bool joins) {
  LeaderPass pass;
  if (session != nullptr) {
    const Claim::Pass own = session->pass();
    pass.generation = own.generation;
    assert(own.token.size() < pass.token.size());
    std::copy(own.token.begin(), own.token.end(), pass.token.begin());
  }
  comm.broadcast(std::as_writable_bytes(std::span(&pass, 1)), 0);
  if (!joins) return nullptr;
  return Claim::join(files, options.work_dir, {pass.generation, pass.token.data()});
}

// Rank 0 reads the run folder, and every rank gets what was found.
std::vector<BlockDone> broadcast_done(Communicator& comm, const RunSession* session,
                                      const Plan& plan) {
  std::vector<BlockDone> done(static_cast<size_t>(plan.blocks));
  if (session != nullptr) done = session->done();
  comm.broadcast(std::as_writable_bytes(std::span(done)), 0);
  return done;
}

// The arguments of one start, for the functions below.
struct Start {
  const CheckedQuantize& checked;
  Files& files;
  Communicator& comm;
  ThreadPool& pool;
  QuantizeObserver& observer;
  const RunControl& control;

  const QuantizeOptions& options() const { return checked.options; }
  std::function<void(const std::string&)> say() const {
    return [this](const std::string& text) { observer.phase_begins(text); };
  }
};

// The reports of all stages, in block order, on every rank.
std::vector<BlockReport> gather_reports(Communicator& comm, const std::vector<BlockReport>& own) {
  std::vector<BlockReport> all;
  for (const std::vector<BlockReport>& theirs : gather_values<BlockReport>(comm, own)) {
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
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
Saving agree_on_saving(const QuantizeForecast& forecast, Communicator& replicas) {
  auto beside = static_cast<std::byte>(forecast.saving == Saving::beside);
  replicas.broadcast(std::span(&beside, 1), 0);
  return beside == std::byte{0} ? Saving::between : Saving::beside;
}

// On a rank with work. `run_dir` is null except on the leader of a stage. There, `waited_s` gets
// the seconds that the stage waited for its commits.
std::vector<BlockReport> train_stage(const Start& start, const Plan& plan,
                                     const std::vector<BlockDone>& done, const StopWishes& wishes,
                                     MeshRank& rank, RunDir* run_dir, FrontierFiles* frontier,
                                     double& waited_s) {
  const QuantizeOptions& options = start.options();
  const std::unique_ptr<Backend> backend = make_backend(options.backend);
  // The rank number differs between ranks, the process id between jobs that share a scratch folder.
  const std::string scratch_name = fmt::format("streams-{}-{}.tmp", start.comm.rank(), ::getpid());
  StreamBudget budget(start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      join_path(options.scratch_dir, scratch_name));
  const Saving saving = agree_on_saving(start.checked.forecast, rank.replicas());
  std::optional<RunWriter> writer;
  const bool collects = rank.stage() == 0 && rank.mesh().stages > 1;
  if (run_dir != nullptr) writer.emplace(*run_dir, saving, collects);
  RunWriter* const leads = writer ? &*writer : nullptr;
  StopControl stop(rank, with_failures_of(leads, wishes));
  BlockCompute compute({options, plan, start.checked.model, start.checked.calibration.windows,
                        *backend, leads, saving, frontier, budget, rank, start.pool,
                        start.observer});
  const KeptStreams kept = compute.take_kept_streams(done);
  const int replays = Remaining(plan, done, kept).replays();
  if (leads && replays > 0) {
    start.observer.phase_begins(fmt::format(
        "replaying {} visits of packed blocks, whose streams the others need", replays));
  }
  execute(plan, rank.stage(), done, compute, stop, start.observer, kept);
  if (leads) waited_s = leads->seconds_waited();
  return rank.leads() ? compute.reports() : std::vector<BlockReport>();
}

// Trains the blocks of all stages. Fills in blocks, state_bytes and state_bytes_written of
// `result`, on every rank.
void train_blocks(const Start& start, const Plan& plan, RunSession* session,
                  QuantizeResult& result) {
  const std::vector<BlockDone> done = broadcast_done(start.comm, session, plan);
  MeshRank rank(start.checked.forecast.mesh, start.comm);
  const bool keeps = keeps_streams(plan);
  const bool leads = rank.has_work() && rank.leads();
  const std::unique_ptr<Claim> claim =
      broadcast_claim(start.comm, start.options(), start.files, session,
                      rank.has_work() && (keeps || (leads && session == nullptr)));
  std::optional<RunDir> joined;
  if (leads && session == nullptr) joined.emplace(start.files, *claim, rank.stage());
  RunDir* run_dir = joined ? &*joined : nullptr;
  if (session != nullptr) run_dir = &session->dir();
  std::optional<FrontierFiles> frontier;
  if (claim && keeps) frontier.emplace(start.files, *claim);
  std::vector<BlockReport> reports;
  const auto train = [&](const StopWishes& wishes) {
    reports = train_stage(start, plan, done, wishes, rank, run_dir, frontier ? &*frontier : nullptr,
                          result.state_wait_seconds);
  };
  try {
    work_beside_idle_ranks(start.comm, rank.mesh().ranks(), start.control.wishes, train);
  } catch (const AgreedStop&) {
    // All ranks have left: nobody appends a line any more.
    if (session != nullptr) session->dir().events().collect();
    throw;
  }
  result.blocks = gather_reports(start.comm, reports);
  const LiveBytes live = gather_live_bytes(start.comm, run_dir);
  result.state_bytes = live.largest;
  result.state_bytes_written = live.written;
}

// On every rank. `session` is null except on rank 0.
void train_and_assemble(const Start& start, const Plan& plan, RunSession* session,
                        QuantizeResult& result) {
  train_blocks(start, plan, session, result);
  if (session == nullptr) return;
  const RunState& state = session->dir().state();
  assemble(start.options(), start.files, start.checked.model, session->dir(),
           {start.checked.forecast.fingerprint_json, kept_source_hash(state, plan.blocks),
            session->numerics_classes()},
           start.observer);
  session->finish();
}

// Whether the result can have been assembled from this run.
bool has_packed_all(const RunState& state, const Start& start, const std::string& source_hash) {
  const QuantizeForecast& forecast = start.checked.forecast;
  for (int block = 0; block < forecast.blocks; ++block) {
    if (!state.has_packed(block, forecast.turns - 1)) return false;
  }
  return kept_source_hash(state, forecast.blocks) == source_hash;
}

// Verifies that the result of an earlier job is complete and was made from these weights.
void verify_what_is_there(const Start& start) {
  start.observer.phase_begins("hashing the model");
  const SourceModel& model = start.checked.model;
  const TensorHashes source = hash_together(model, model.tensors().names(), start.comm, start.pool);
  start.observer.phase_begins("verifying the result that is there");
  if (start.comm.rank() == 0) {
    verify_result(start.files, start.options().output_dir, combined_hash(source));
    finish_left_over(
        start.options().work_dir, start.checked.forecast.fingerprint_json,
        [&](const RunState& state) { return has_packed_all(state, start, combined_hash(source)); },
        start.files, start.control, start.say());
  }
}

// Hashes of the tensors outside of the packed blocks. With --verify-source also those of every
// block; otherwise a block is hashed when it is read.
std::map<int, TensorHashes> read_sources(const Start& start) {
  const QuantizeOptions& options = start.options();
  const SourceModel& model = start.checked.model;
  const int64_t blocks = blocks_to_pack(options, model.config());
  start.observer.phase_begins(options.verify_source ? "reading and hashing the model"
                                                    : "hashing embeddings and head");
  std::map<int, TensorHashes> sources;
  sources[outside_blocks] =
      hash_together(model, tensors_outside(model, blocks), start.comm, start.pool);
  for (int64_t block = 0; options.verify_source && block < blocks; ++block) {
    sources[static_cast<int>(block)] =
        hash_together(model, tensors_of_block(model, block), start.comm, start.pool);
  }
  return sources;
}

// On rank 0, which has claimed the run folder: begins the run or goes on with it, and makes a trial
// save there.
void open_session(const Start& start, const Plan& plan, const std::map<int, TensorHashes>& sources,
                  const std::vector<std::string>& numerics_classes, RunSession& session) {
  const QuantizeOptions& options = start.options();
  session.open({start.checked.forecast.fingerprint_json, numerics_classes}, plan, sources);
  start.control.work_dir_answers();
  if (session.goes_on()) {
    const auto packed = std::ranges::count_if(
        session.done(), [&](const BlockDone& one) { return one.turns >= plan.turns(); });
    start.observer.phase_begins(
        fmt::format("going on with the run in {}: {} of {} blocks are packed", options.work_dir,
                    packed, plan.blocks));
  }
  const int64_t bytes = rehearsal_bytes(options, start.checked.model.config(),
                                        start.checked.forecast.turn_bytes / plan.blocks);
  const double seconds = session.dir().rehearse_save(bytes);
  start.observer.phase_begins(
      fmt::format("{}: saving and reading back a trial of {} bytes went well ({:.3f} s to write)",
                  options.work_dir, bytes, seconds));
}

void train_in_session(const Start& start, const std::vector<std::string>& numerics_classes,
                      QuantizeResult& result) {
  const QuantizeOptions& options = start.options();
  const Plan plan = plan_of(options, start.checked.forecast);
  // The source is read before a run is begun, or discarded with --resume never.
  const std::map<int, TensorHashes> sources = read_sources(start);
  std::optional<RunSession> session;
  if (start.comm.rank() == 0) {
    session.emplace(work_folder(options), start.files, start.control, start.say());
  }
  RunSession* const held = session ? &*session : nullptr;
  hold_session(held, [&] {
    if (held) open_session(start, plan, sources, numerics_classes, *held);
    train_and_assemble(start, plan, held, result);
    result.planned_state_bytes = live_file_bytes(options, start.checked.model.config());
    if (held) result.state_seconds = held->dir().seconds_writing();
  });
}

void summarize(const std::string& output_dir, Files& files, QuantizeResult& result) {
  const Inspection inspection = inspect_folder(files, output_dir);
  result.bits_per_weight = inspection.bits_per_weight();
  result.bits_per_parameter = inspection.bits_per_parameter();
  result.packed_bytes = inspection.file_bytes;
}

RankWork rank_work(const CheckedQuantize& checked, int rank) {
  const QuantizeForecast& forecast = checked.forecast;
  const Mesh& mesh = forecast.mesh;
  return {forecast.fingerprint_json, numerics_class(checked.options.backend),
          checked.options.allow_mixed_hardware,
          mesh.contains(rank) ? forecast.peak_memory_bytes : 0,
          fmt::format("{} x {} (stages x replicas, {})", mesh.stages, mesh.replicas,
                      word_of(forecast.walk))};
}

}  // namespace

std::vector<std::string> compare_ranks(const CheckedQuantize& checked, Files& files,
                                       Communicator& comm, const std::string& host) {
  return check_ranks(rank_work(checked, comm.rank()), files, comm, host);
}

QuantizeResult quantize(const CheckedQuantize& checked, Files& files, Communicator& comm,
                        ThreadPool& pool, QuantizeObserver& observer, const RunControl& control) {
  const QuantizeOptions& options = checked.options;
  const Start start{checked, files, comm, pool, observer, control};
  observer.phase_begins("comparing what the ranks see");
  const std::vector<std::string> classes = compare_ranks(checked, files, comm, control.host);

  QuantizeResult result;
  result.source_bytes = checked.model.tensors().file_bytes();
  const bool leader = comm.rank() == 0;
  // Checked again: meanwhile another job may have made the result, or somebody may have written
  // there.
  result.already_done = check_output(options.output_dir, files, quantize_record,
                                     checked.forecast.fingerprint_json, comm);
  if (result.already_done) {
    if (leader && files.exists(options.work_dir)) control.work_dir_answers();
    verify_what_is_there(start);
  } else {
    train_in_session(start, classes, result);
  }
  if (leader) summarize(options.output_dir, files, result);
  comm.barrier();
  return result;
}

}  // namespace bitmill
