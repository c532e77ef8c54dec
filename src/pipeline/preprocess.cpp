#include "pipeline/preprocess.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "data/training_corpus.hpp"
#include "format/tensor_folder.hpp"
#include "pipeline/adapting/adapter_trainer.hpp"
#include "pipeline/adapting/merged_folder.hpp"
#include "pipeline/checks/evaluation_text.hpp"
#include "pipeline/checks/product_rehearsal.hpp"
#include "pipeline/checks/reference_check.hpp"
#include "pipeline/folder/assemble.hpp"
#include "pipeline/folder/run_session.hpp"
#include "pipeline/folder/shared_corpus.hpp"
#include "pipeline/folder/source_hashes.hpp"
#include "pipeline/folder/writer_wishes.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/agreed_products.hpp"
#include "pipeline/ranks/device_use.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/ranks_check.hpp"
#include "pipeline/ranks/stop_control.hpp"
#include "pipeline/streams/stream_scratch.hpp"

namespace bitmill {
namespace {

// One start, for the functions below.
struct PreprocessStart {
  const CheckedPreprocess& checked;
  Files& files;
  Communicator& comm;
  const Device& device;
  ThreadPool& pool;  // the device's host
  PreprocessObserver& observer;
  const RunControl& control;
  std::string fingerprint_json;  // with the text, from open_text() on
  std::vector<std::string> numerics_classes;
  TrainingText text;

  const PreprocessOptions& options() const { return checked.options; }
};

// In the run folder the whole model is one block, trained in one turn.
Plan folder_plan(const PreprocessForecast& forecast) {
  const auto measures = static_cast<int>(piece_count(forecast.steps, forecast.steps_per_measure));
  return make_plan(1, measures, measures, 1, Walk::sweep);
}

TrainingText text_of(const std::shared_ptr<const TrainingCorpus>& corpus) {
  return {[corpus](int64_t position) { return corpus->sequence(position); },
          [corpus](int64_t i) { return corpus->held_out_sequence(i); }, corpus->held_out_size(),
          corpus->fingerprint()};
}

// No sequence of the training shares text with the evaluation from here on. Returns a hash of it.
std::string leave_out(const PreprocessStart& start, TrainingCorpus& corpus) {
  ReadEvaluation evaluation =
      read_evaluation(start.options(), start.files, start.checked.original.config().vocab_size);
  // All of a small corpus, and a look at a large one.
  constexpr int64_t most_looked_at = 1000;
  const int64_t looked_at = std::min(corpus.size(), most_looked_at);
  const auto sharing = std::ssize(corpus.overlapping_positions(looked_at, evaluation.text));
  start.observer.note(fmt::format(
      "{} of the first {} sequences share text with --evaluation; all that do are replaced by "
      "others",
      sharing, looked_at));
  corpus.leave_out(std::move(evaluation.text));
  return evaluation.hash;
}

void check_all_ranks(const CheckedPreprocess& checked, const std::string& fingerprint, Files& files,
                     Communicator& comm, const Device& device, const std::string& host) {
  check_ranks({fingerprint, numerics_class(checked.options.backend, device),
               checked.options.allow_mixed_hardware, checked.forecast.peak_memory_bytes},
              files, comm, host);
}

// Collective. What depends on the text; afterwards the ranks have been compared with it.
void open_text(PreprocessStart& start) {
  const CorpusOptions options =
      corpus_options(start.options(), start.checked.forecast, start.checked.original.config());
  start.observer.phase_begins("reading the corpus once, for its index");
  prepare_together(start.files, options, start.comm, start.control);
  const auto corpus = std::make_shared<TrainingCorpus>(start.files, options);
  for (const std::string& note : corpus->notes()) start.observer.note(note);
  nlohmann::json fingerprint = nlohmann::json::parse(start.checked.forecast.fingerprint_json);
  if (!start.options().evaluation.empty()) fingerprint["evaluation"] = leave_out(start, *corpus);
  start.text = text_of(corpus);
  fingerprint["corpus"] = start.text.fingerprint;
  start.fingerprint_json = fingerprint.dump();
  check_all_ranks(start.checked, start.fingerprint_json, start.files, start.comm, start.device,
                  start.control.host);
}

struct BothHashes {
  TensorHashes base, original;
  // The two hashes are joined, not the two maps: both models have the same names of tensors.
  std::string hash() const { return combined_hash(base) + combined_hash(original); }
};

BothHashes hash_sources(const PreprocessStart& start) {
  start.observer.phase_begins("hashing the original");
  const SourceModel& original = start.checked.original;
  BothHashes sources = {start.checked.hashes, hash_together(original, original.tensors().names(),
                                                            start.comm, start.pool)};
  check_made_from(start.files, start.checked.base, original, combined_hash(sources.original));
  return sources;
}

// On rank 0, which has claimed the run folder: begins the run or goes on with it, and makes a trial
// save there.
void open_session(const PreprocessStart& start, const BothHashes& sources, RunSession& session) {
  const PreprocessForecast& forecast = start.checked.forecast;
  session.open({start.fingerprint_json, start.numerics_classes}, folder_plan(forecast),
               {{outside_blocks, sources.original}, {all_adapters, sources.base}});
  start.control.work_dir_answers();
  if (session.goes_on()) {
    start.observer.phase_begins(
        fmt::format("going on with the training in {}: {} of {} steps are done",
                    start.options().work_dir, session.done()[all_adapters].steps, forecast.steps));
  }
  session.dir().rehearse_save(forecast.state_bytes / 2);
}

TensorWay tensor_way_of(const PreprocessStart& start) {
  return device_use(
             start.comm, start.checked.forecast.mesh, start.device, start.control,
             [&](const std::string& note) { start.observer.note(note); },
             [&](const std::string& text) { start.observer.phase_begins(text); })
      .way;
}

// `session` is null except on rank 0. Fills in the history.
void train(const PreprocessStart& start, const BothHashes& sources, RunSession* session,
           PreprocessResult& result) {
  const PreprocessOptions& options = start.options();
  const CheckedPreprocess& checked = start.checked;
  MeshRank rank(checked.forecast.mesh, start.comm, tensor_way_of(start));
  StreamBudget budget(start.files, options.stream_memory > 0 ? options.stream_memory : INT64_MAX,
                      stream_scratch_path(options.scratch_dir, start.comm.rank()));
  std::optional<RunWriter> writer;
  if (session != nullptr) writer.emplace(session->dir(), /*beside=*/false);
  RunWriter* const leads = writer ? &*writer : nullptr;
  StopControl stop(rank.control(), with_failures_of(leads, start.control.wishes));
  AdapterTrainer trainer({options, checked.forecast, checked.base, checked.original, start.text,
                          rank, leads, budget, start.device, stop, start.observer});
  rank.carry_out([&] { trainer.run(); });
  if (session != nullptr) {
    write_merged(
        options, start.files, checked.base, checked.original, session->dir(),
        {start.fingerprint_json, sources.hash(), session->numerics_classes(), trainer.history()},
        start.pool, start.observer);
    session->finish();
  }
  result.history = trainer.history();
}

// Collective, from open_text() on. Errors of check_output().
bool result_is_there(const PreprocessStart& start) {
  return check_output(start.options().output_dir, start.files, preprocess_record,
                      start.fingerprint_json, start.comm);
}

// The folder is claimed first: what is unpacked and indexed belongs to this start alone.
void train_in_session(PreprocessStart& start, const BothHashes& sources, PreprocessResult& result) {
  result.state_seconds = work_in_session(
      work_folder(start.options()), start.files, start.comm, start.control,
      [&](const std::string& text) { start.observer.phase_begins(text); },
      [&](RunSession* session) {
        open_text(start);
        BITMILL_CHECK(!result_is_there(start), UsageError,
                      fmt::format("another start has just written the result to {}; start again "
                                  "to verify it",
                                  start.options().output_dir));
        if (session != nullptr) open_session(start, sources, *session);
        train(start, sources, session, result);
      });
}

// Collective. Whether there may be a result, as rank 0 sees it.
bool output_is_there(const PreprocessStart& start) {
  auto answer = static_cast<std::byte>(
      start.comm.rank() == 0 &&
      start.files.exists(join_path(start.options().output_dir, "config.json")));
  start.comm.broadcast(std::span(&answer, 1), 0);
  return answer != std::byte{0};
}

// Verifies the result of an earlier job, on rank 0.
void verify_what_is_there(const PreprocessStart& start, const BothHashes& sources) {
  const PreprocessOptions& options = start.options();
  if (start.files.exists(options.work_dir)) start.control.work_dir_answers();
  start.observer.phase_begins("verifying the result that is there");
  verify_merged(options, start.files, sources.hash(), start.pool);
}

}  // namespace

void compare_ranks(const CheckedPreprocess& checked, Files& files, Communicator& comm,
                   const Device& device, const std::string& host) {
  check_all_ranks(checked, checked.forecast.fingerprint_json, files, comm, device, host);
}

PreprocessResult preprocess(const CheckedPreprocess& checked, Files& files, Communicator& comm,
                            const Device& device, PreprocessObserver& observer,
                            const RunControl& control) {
  const PreprocessOptions& options = checked.options;
  PreprocessStart start{checked, files, comm, device, device.host(), observer, control, {}, {}, {}};
  observer.phase_begins("comparing what the ranks see");
  compare_ranks(checked, files, comm, device, control.host);
  check_same_everywhere(checked.hashes, options.packed, comm);
  const BothHashes sources = hash_sources(start);
  PreprocessResult result;
  if (output_is_there(start)) {
    open_text(start);
    result.already_done = result_is_there(start);
    if (result.already_done && comm.rank() == 0) verify_what_is_there(start, sources);
  }
  if (!result.already_done) {
    const bool works = checked.forecast.mesh.contains(comm.rank());
    const AgreedProducts products(comm, device,
                                  works ? numerics_class(options.backend, device) : "", [&] {
                                    observer.phase_begins("choosing algorithms for the products");
                                    rehearse_products(checked, device);
                                  });
    start.numerics_classes = products.classes();
    train_in_session(start, sources, result);
  }
  remove_together(files, corpus_options(options, checked.forecast, checked.original.config()), comm,
                  control.host);
  if (comm.rank() == 0) {
    result.result_bytes = TensorFolder(files, options.output_dir).file_bytes();
  }
  comm.barrier();
  return result;
}

}  // namespace bitmill
