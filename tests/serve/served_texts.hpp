#pragma once
// For tests of serve: a small model with odd widths, and listeners that remember.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "infer/infer_models.hpp"
#include "serve/text_batch.hpp"
#include "temp_folder.hpp"

namespace bitmill::test {

// What became of a text.
class RememberedText final : public TextListening {
 public:
  bool still_wanted() const override {
    const std::lock_guard lock(mutex_);
    return wanted_;
  }
  void on_text(std::string text, std::vector<TokenScore> scores) override {
    const std::lock_guard lock(mutex_);
    all_.text += text;
    for (TokenScore& score : scores) all_.scores.push_back(std::move(score));
    changed_.notify_all();
  }
  void on_end(Finish finish, int64_t tokens) override {
    const std::lock_guard lock(mutex_);
    all_.finish = finish;
    all_.tokens = tokens;
    changed_.notify_all();
  }
  void on_failure(const RequestError& why) override {
    const std::lock_guard lock(mutex_);
    all_.failure = why;
    changed_.notify_all();
  }

  struct All {
    std::string text;
    std::vector<TokenScore> scores;
    std::optional<Finish> finish;
    int64_t tokens = 0;
    std::optional<RequestError> failure;

    bool has_ended() const { return finish || failure; }
  };
  All now() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  All wait_for_end() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return all_.has_ended(); });
    return all_;
  }
  void wait_for_text() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !all_.text.empty() || all_.has_ended(); });
  }
  void stop_wanting() {
    const std::lock_guard lock(mutex_);
    wanted_ = false;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = true;
  All all_;
};

// books-2M, and the same packed with random contents.
class SmallModels {
 public:
  static constexpr const char* folder = BITMILL_SOURCE_DIR "/tests/data/books-2M";

  SmallModels() { write_packed_like(*files, source, packed_folder_ / "packed"); }

  const std::unique_ptr<Files> files = posix_files();
  const SourceModel source{*files, folder};
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(*files, folder);
  ThreadPool pool{1};

 private:
  const TempFolder packed_folder_;

 public:
  std::string packed_folder() const { return packed_folder_ / "packed"; }
};

}  // namespace bitmill::test
