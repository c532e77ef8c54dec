#include "pipeline/tuning/tuning_text.hpp"

#include <algorithm>
#include <vector>

#include "data/window_bos.hpp"
#include "pipeline/folder/shared_corpus.hpp"

namespace bitmill {

CorpusOptions corpus_of(const TuneOptions& options, const TuneForecast& forecast,
                        const ModelConfig& config) {
  return {.paths = options.corpus,
          .text_key = options.text_key,
          .model_folder = options.model,
          .vocab_size = config.vocab_size,
          .seq_len = forecast.seq_len,
          .cut = CorpusCut::packed,
          .wanted = options.train_windows,
          .seed = options.shuffle_seed.value_or(options.seed),
          .scratch_dir = options.corpus_dir};
}

TuningText::TuningText(const CorpusOptions& corpus, const TuneForecast& forecast,
                       const Windows& held_out, Files& files, Communicator& comm,
                       const RunControl& control)
    : options_(corpus), forecast_(forecast), held_out_(held_out), files_(files) {
  prepare_together(files, options_, comm, control);
  corpus_.emplace(files, options_);
  EvaluationText evaluation;
  for (int64_t i = 0; i < held_out.count; ++i) evaluation.add(held_out.window(i));
  corpus_->leave_out(std::move(evaluation));
}

Windows TuningText::windows(int epoch, std::span<const int64_t> own, ThreadPool& pool) const {
  const int64_t train = forecast_.train, seq_len = forecast_.seq_len;
  Windows all{train + held_out_.count, seq_len, {}};
  all.ids.resize(static_cast<size_t>(all.count * seq_len));
  pool.parallel_for(std::ssize(own), [&](int64_t i) {
    if (own[i] >= train) return;
    const std::vector<int32_t> ids = corpus_->sequence(epoch * train + own[i]);
    std::ranges::copy(ids, all.ids.begin() + own[i] * seq_len);
  });
  if (held_out_.bos) begin_windows_with(*held_out_.bos, all);
  std::ranges::copy(held_out_.ids, all.ids.begin() + train * seq_len);
  return all;
}

void TuningText::remove_index(Communicator& comm, const std::string& host) const {
  remove_together(files_, options_, comm, host);
}

}  // namespace bitmill
