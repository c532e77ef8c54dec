#include "serve/text_answers.hpp"

#include <utility>

namespace bitmill {

class TextAnswers::Listener final : public TextListening {
 public:
  Listener(std::shared_ptr<TextAnswers> answers, size_t index)
      : answers_(std::move(answers)), index_(index) {}

  bool still_wanted() const override { return answers_->still_wanted(); }
  void on_text(std::string text, std::vector<TokenScore> scores) override {
    answers_->add({.index = index_, .text = std::move(text), .scores = std::move(scores)});
  }
  void on_end(Finish finish, int64_t tokens) override {
    answers_->add({.index = index_, .finish = finish, .tokens = tokens});
  }
  void on_failure(const RequestError& why) override {
    answers_->add({.index = index_, .failure = why});
  }

 private:
  const std::shared_ptr<TextAnswers> answers_;
  const size_t index_;
};

std::shared_ptr<TextListening> TextAnswers::listener(size_t index) {
  return std::make_shared<Listener>(shared_from_this(), index);
}

std::optional<TextNews> TextAnswers::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  if (!added_.wait_for(lock, time, [&] { return !news_.empty(); })) return std::nullopt;
  TextNews news = std::move(news_.front());
  news_.pop_front();
  return news;
}

void TextAnswers::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
}

bool TextAnswers::still_wanted() const {
  const std::lock_guard lock(mutex_);
  return !cancelled_;
}

void TextAnswers::add(TextNews news) {
  const std::lock_guard lock(mutex_);
  news_.push_back(std::move(news));
  added_.notify_all();
}

}  // namespace bitmill
