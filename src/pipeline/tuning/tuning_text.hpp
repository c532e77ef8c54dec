#pragma once
// The text that a tuning trains on, where it is larger than a set of windows: a corpus in portions.
// An epoch of the tuning is one portion.

#include <optional>
#include <span>
#include <string>

#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "data/training_corpus.hpp"
#include "data/windows.hpp"
#include "model/config.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/job/tune_job.hpp"

namespace bitmill {

// How the corpus of these options is read.
CorpusOptions corpus_of(const TuneOptions& options, const TuneForecast& forecast,
                        const ModelConfig& config);

class TuningText {
 public:
  // Collective over all ranks of the job. Makes the index of the corpus, and opens
  // it on every rank. Sequences that share text with `held_out`, windows that are not trained on,
  // are left out. All arguments outlive it.
  TuningText(const CorpusOptions& corpus, const TuneForecast& forecast, const Windows& held_out,
             Files& files, Communicator& comm, const RunControl& control);

  // The windows of an epoch, its training windows first, those that are held out behind them. Only
  // the windows in `own`, numbers of such windows, are filled in.
  Windows windows(int epoch, std::span<const int64_t> own, ThreadPool& pool) const;
  // Hash of the text.
  std::string hash() const { return corpus_->fingerprint(); }
  std::vector<std::string> notes() const { return corpus_->notes(); }
  // Collective, on `host` each. When the result is there: removes the index.
  void remove_index(Communicator& comm, const std::string& host) const;

 private:
  const CorpusOptions options_;
  const TuneForecast& forecast_;
  const Windows& held_out_;
  Files& files_;
  std::optional<TrainingCorpus> corpus_;
};

}  // namespace bitmill
