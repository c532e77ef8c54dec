#pragma once
// Several texts on their way through one model at once. Every step takes each of them further:
// those that are being written by one token, and prompts by as many as there is place for. Texts
// join and leave between steps. What a text becomes depends on nothing but its task: not on who
// else is in the batch, on when it joined, or on threads (src/infer/README.md, "Same text").
//
// One thread at a time.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.hpp"
#include "data/tokenizer.hpp"
#include "infer/resident_model.hpp"
#include "infer/written_text.hpp"
#include "serve/request_error.hpp"
#include "serve/token_scores.hpp"

namespace bitmill {

struct TextTask {
  std::vector<int32_t> prompt;  // one or more, and no more than the batch's positions
  GenerateSettings settings;    // max_tokens 0: nothing is written, the prompt is only scored
  // -1: no scores. Otherwise a score for every token that is written, with so many that are most
  // likely.
  int64_t top_logprobs = -1;
  bool scores_prompt = false;  // also for the prompt's tokens; needs top_logprobs >= 0
};

// Hears what becomes of a text. Called by the thread of step(); must not block.
class TextListening {
 public:
  virtual ~TextListening() = default;
  // Asked before every step. After `false` the text is dropped, and nothing more is said.
  virtual bool still_wanted() const = 0;
  // New text, perhaps empty, and scores of tokens that have none yet, in order.
  virtual void on_text(std::string text, std::vector<TokenScore> scores) = 0;
  // The last call, one of these two. `tokens`: that were written, an end token included.
  virtual void on_end(Finish finish, int64_t tokens) = 0;
  virtual void on_failure(const RequestError& why) = 0;
};

class TextBatch {
 public:
  // Places for `places` texts of up to `positions` tokens each, prompt included: memory is taken
  // here, once. Model and tokenizer must outlive the batch.
  TextBatch(const ResidentModel& model, const Tokenizer& tokenizer, int64_t places,
            int64_t positions);
  ~TextBatch();
  TextBatch(const TextBatch&) = delete;
  TextBatch& operator=(const TextBatch&) = delete;

  bool is_full() const;
  int64_t size() const;    // texts in it
  int64_t places() const;  // any thread
  int64_t cache_bytes() const;

  // REQUIRES: !is_full().
  void join(TextTask task, std::shared_ptr<TextListening> listener);

  struct Step {
    int64_t prompt_tokens = 0;  // that the model has read
    int64_t new_tokens = 0;     // that were written
  };
  // One pass of the model. What goes wrong with one text ends that text alone.
  Step step(ThreadPool& pool);

  // Ends all texts with on_failure(why).
  void fail_all(const RequestError& why);

 private:
  struct Text;
  struct Place;
  struct Part;
  struct Row;

  void drop_unwanted();
  std::vector<Part> next_parts() const;
  void take_parts(std::span<const Part> parts, ThreadPool& pool);
  std::vector<Row> compute(std::span<const Part> parts, ThreadPool& pool) const;
  static std::vector<Row> rows_of(std::span<const Part> parts);
  void look_at(std::span<Row> rows, const at::Tensor& outputs, ThreadPool& pool) const;
  void take_logits(std::span<Row> rows, const at::Tensor& logits, ThreadPool& pool) const;
  void finish_part(const Part& part, std::span<Row> rows);
  static void fail(Place& place, const RequestError& why);

  const ResidentModel& model_;
  const Tokenizer& tokenizer_;
  std::vector<std::unique_ptr<Place>> places_;
  uint64_t joined_ = 0;
  Step step_;
};

}  // namespace bitmill
