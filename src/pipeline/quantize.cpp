#include "pipeline/quantize.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "comm/gather.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "pipeline/blocks/live_file_size.hpp"
#include "pipeline/checks/product_rehearsal.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/ranks/agreed_products.hpp"
#include "pipeline/ranks/device_use.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/train_blocks.hpp"

namespace bitmill {
namespace {

// On every rank. `session` is null except on rank 0.
void train_and_assemble(const QuantizeStart& start, const Plan& plan, RunSession* session,
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
bool has_packed_all(const RunState& state, const QuantizeStart& start,
                    const std::string& source_hash) {
  const QuantizeForecast& forecast = start.checked.forecast;
  for (int block = 0; block < forecast.blocks; ++block) {
    if (!state.has_packed(block, forecast.turns - 1)) return false;
  }
  return kept_source_hash(state, forecast.blocks) == source_hash;
}

// Verifies that the result of an earlier job is complete and was made from these weights.
void verify_what_is_there(const QuantizeStart& start) {
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
std::map<int, TensorHashes> read_sources(const QuantizeStart& start) {
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
void open_session(const QuantizeStart& start, const Plan& plan,
                  const std::map<int, TensorHashes>& sources,
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

void train_in_session(const QuantizeStart& start, const std::vector<std::string>& numerics_classes,
                      QuantizeResult& result) {
  const QuantizeOptions& options = start.options();
  const Plan plan = plan_of(options, start.checked.forecast);
  // The source is read before a run is begun, or discarded with --resume never.
  const std::map<int, TensorHashes> sources = read_sources(start);
  result.state_seconds = work_in_session(
      work_folder(options), start.files, start.comm, start.control, start.say(),
      [&](RunSession* session) {
        if (session != nullptr) open_session(start, plan, sources, numerics_classes, *session);
        train_and_assemble(start, plan, session, result);
        result.planned_state_bytes = live_file_bytes(options, start.checked.model.config());
      });
}

void summarize(const std::string& output_dir, Files& files, QuantizeResult& result) {
  const Inspection inspection = inspect_folder(files, output_dir);
  result.bits_per_weight = inspection.bits_per_weight();
  result.bits_per_parameter = inspection.bits_per_parameter();
  result.packed_bytes = inspection.file_bytes;
}

// Collective. The observer hears which GPUs are shared, and how tensors travel.
DeviceUse use_of_devices(const CheckedQuantize& checked, Communicator& comm, const Device& device,
                         const RunControl& control, QuantizeObserver& observer) {
  const QuantizeForecast& forecast = checked.forecast;
  DeviceUse use = device_use(
      comm, forecast.mesh, device, control,
      [&](const std::string& note) { observer.phase_begins("note: " + note); },
      [&](const std::string& text) { observer.phase_begins(text); });
  const int64_t travelling =
      travelling_bytes(use.way, forecast.mesh,
                       forecast.seq_len * checked.model.config().hidden_size *
                           dtype_bytes(checked.options.stream_dtype));
  use.bytes = std::max<int64_t>(0, use.bytes - travelling);
  const int64_t limit = checked.options.device_memory_limit;
  if (limit > 0) use.bytes = std::min(limit, use.bytes);
  return use;
}

RankWork rank_work(const CheckedQuantize& checked, const Device& device, int64_t device_bytes,
                   int rank) {
  const QuantizeForecast& forecast = checked.forecast;
  const Mesh& mesh = forecast.mesh;
  return {forecast.fingerprint_json,
          numerics_class(checked.options.backend, device),
          checked.options.allow_mixed_hardware,
          mesh.contains(rank) ? host_bytes_with(forecast, checked.options, device_bytes) : 0,
          checked.options.memory_limit,
          fmt::format("{} x {} (stages x replicas, {})", mesh.stages, mesh.replicas,
                      word_of(forecast.walk)),
          {device.description(), device_bytes, least_device_bytes(forecast, device_bytes),
           forecast.device_attention_bytes, checked.options.dtype == Dtype::float32}};
}

// Collective; as compare_ranks().
std::vector<std::string> compare_ranks_with(const CheckedQuantize& checked, Files& files,
                                            Communicator& comm, const Device& device,
                                            int64_t device_bytes, const std::string& host) {
  return check_ranks(rank_work(checked, device, device_bytes, comm.rank()), files, comm, host);
}

}  // namespace

std::vector<std::string> compare_ranks(const CheckedQuantize& checked, Files& files,
                                       Communicator& comm, const Device& device,
                                       const std::string& host) {
  QuantizeObserver silent;
  RunControl control;
  control.host = host;
  const DeviceUse use = use_of_devices(checked, comm, device, control, silent);
  return compare_ranks_with(checked, files, comm, device, use.bytes, host);
}

QuantizeResult quantize(const CheckedQuantize& checked, Files& files, Communicator& comm,
                        const Device& device, QuantizeObserver& observer,
                        const RunControl& control) {
  const QuantizeOptions& options = checked.options;
  observer.phase_begins("comparing what the ranks see");
  const DeviceUse use = use_of_devices(checked, comm, device, control, observer);
  const int64_t device_bytes = use.bytes;
  const QuantizeStart start{checked,  files,   comm,         device, device.host(),
                            observer, control, device_bytes, use.way};
  compare_ranks_with(checked, files, comm, device, device_bytes, control.host);

  QuantizeResult result;
  result.source_bytes = checked.model.tensors().file_bytes();
  result.planned_device_bytes = device_bytes_with(checked.forecast, device_bytes);
  const bool leader = comm.rank() == 0;
  // Checked again: meanwhile another job may have made the result, or somebody may have written
  // there.
  result.already_done = check_output(options.output_dir, files, quantize_record,
                                     checked.forecast.fingerprint_json, comm);
  if (result.already_done) {
    if (leader && files.exists(options.work_dir)) control.work_dir_answers();
    verify_what_is_there(start);
  } else {
    const bool works = checked.forecast.mesh.contains(comm.rank());
    const AgreedProducts products(comm, device,
                                  works ? numerics_class(options.backend, device) : "", [&] {
                                    observer.phase_begins("choosing algorithms for the products");
                                    rehearse_products(checked, device);
                                  });
    train_in_session(start, products.classes(), result);
  }
  result.device_peak_bytes = std::ranges::max(gather_value(comm, device.memory().peak_bytes));
  if (leader) summarize(options.output_dir, files, result);
  comm.barrier();
  return result;
}

}  // namespace bitmill
