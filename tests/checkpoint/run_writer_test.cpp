#include "checkpoint/run_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.hpp"
#include "forwarding_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A disk on which a test can stop everything that is created under a name with `part` in it.
class HeldFiles final : public ForwardingFiles {
 public:
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    std::unique_lock lock(mutex_);
    created.push_back(file_name(path));
    changed_.notify_all();
    changed_.wait(lock, [&] { return part_.empty() || path.find(part_) == path.npos; });
    if (!full_.empty() && path.find(full_) != path.npos) throw FileError("no space left");
    return ForwardingFiles::create(path);
  }
  void hold(const std::string& part) {
    const std::lock_guard lock(mutex_);
    part_ = part;
    changed_.notify_all();
  }
  void fill(const std::string& part) {
    const std::lock_guard lock(mutex_);
    full_ = part;
  }
  void wait_for(const std::string& part) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return std::ranges::any_of(
          created, [&](const std::string& name) { return name.find(part) != name.npos; });
    });
  }

  std::vector<std::string> created;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string part_, full_;
};

class RunWriterTest : public testing::Test {
 protected:
  RunWriterTest() { dir_.begin({"{}", {"cpu"}}); }

  // A tensor of what `text` is when it is produced.
  std::vector<TensorSource> tensor_of(const std::string& text) {
    return {{"a", Dtype::uint8, {std::ssize(text)}, [this, &text](const ByteSink& sink) {
               ++produced_;
               sink(std::as_bytes(std::span(text)).first(1));
               sink(std::as_bytes(std::span(text)).subspan(1));
             }}};
  }
  std::string saved(int block) const {
    const SavedBlock live = dir_.state().open_live(block);
    std::string text(static_cast<size_t>(live.tensors.info("a").bytes), ' ');
    live.tensors.read(live.tensors.info("a"), std::as_writable_bytes(std::span(text)));
    return text;
  }
  std::vector<std::string> lines() { return read_events(files_, folder_ / "work"); }

  const TempFolder folder_;
  HeldFiles files_;
  const std::unique_ptr<Claim> claim_ =
      Claim::take(files_, folder_ / "work", this_process("n1", ""), {}, [](auto&) {});
  RunDir dir_{files_, *claim_};
  int produced_ = 0;
};

TEST_F(RunWriterTest, WhatIsSavedMayChangeWhileItIsWritten) {
  RunWriter writer(dir_, /*beside=*/true);
  std::string text = "one";
  files_.hold("live/0000");
  writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
  text = "two";
  files_.wait_for("0000.safetensors");
  EXPECT_FALSE(dir_.state().has_live(0));
  EXPECT_THAT(lines(), testing::IsEmpty());
  files_.hold("");
  writer.settle();
  EXPECT_EQ(saved(0), "one");
  EXPECT_THAT(lines(), ElementsAre("line 1"));
  EXPECT_EQ(produced_, 1);
  EXPECT_GT(writer.longest_commit_s(), 0);
}

// Without memory for a copy, the tensors are produced where the caller waits.
TEST_F(RunWriterTest, BetweenEpochsNothingIsCopied) {
  RunWriter writer(dir_, /*beside=*/false);
  std::string text = "one";
  writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
  EXPECT_EQ(saved(0), "one");
  EXPECT_EQ(produced_, RunWriter::times_produced(/*beside=*/false));
  writer.settle();
  EXPECT_THAT(lines(), ElementsAre("line 1"));
}

TEST_F(RunWriterTest, EverythingIsCommittedInTheOrderOfTheCalls) {
  RunWriter writer(dir_, /*beside=*/true);
  const std::string text = "state", longer = "a longer state";
  files_.created.clear();
  writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
  writer.save_epoch({0, 2, 2}, tensor_of(longer), "line 2");
  writer.begin_packed(0, 0, true, tensor_of(text));
  writer.begin_event("packed 0");
  writer.save_epoch({1, 1, 1}, tensor_of(text), "line 3");
  writer.save_steps({1, 1, 2}, tensor_of(longer));
  EXPECT_EQ(dir_.state().live_progress(1), (Progress{1, 1, 2}));
  EXPECT_EQ(saved(1), longer);
  EXPECT_FALSE(dir_.state().has_live(0));  // the packed block came after its states
  EXPECT_TRUE(dir_.state().has_packed(0, 0));
  EXPECT_THAT(files_.created, ElementsAre("0000.safetensors.new-1", "0000.safetensors.new-1",
                                          "0000.0.safetensors.new-1", "0001.safetensors.new-1",
                                          "0001.safetensors.new-1"));
  EXPECT_THAT(lines(), ElementsAre("line 1", "line 2", "packed 0", "line 3"));
}

TEST_F(RunWriterTest, AFailureIsThrownAtTheNextQuestionAndNothingIsCommittedAfterIt) {
  RunWriter writer(dir_, /*beside=*/true);
  const std::string text = "state";
  writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
  writer.settle();
  files_.fill("live/0000");
  writer.save_epoch({0, 2, 2}, tensor_of(text), "line 2");
  const auto fails = [](const auto& call) {
    EXPECT_THAT(call, testing::Throws<FileError>(
                          testing::Property(&FileError::what, HasSubstr("no space left"))));
  };
  fails([&] { writer.settle(); });
  files_.fill("");
  fails([&] { writer.check(); });
  fails([&] { writer.save_epoch({0, 3, 3}, tensor_of(text), "line 3"); });
  fails([&] { writer.save_steps({0, 3, 4}, tensor_of(text)); });
  fails([&] { writer.begin_packed(0, 0, true, tensor_of(text)); });
  EXPECT_EQ(dir_.state().live_progress(0), (Progress{0, 1, 1}));
  EXPECT_THAT(lines(), ElementsAre("line 1"));
}

TEST_F(RunWriterTest, ALostClaimEndsTheWriting) {
  RunWriter writer(dir_, /*beside=*/true);
  const std::string text = "state";
  Claim::take(files_, folder_ / "work", this_process("n2", ""), {std::chrono::milliseconds(0), {}},
              [](auto&) {});
  writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
  EXPECT_THROW(writer.settle(), ClaimError);
}

// As when another rank is lost meanwhile.
TEST_F(RunWriterTest, WhatHasNotBegunIsLeftOut) {
  const std::string text = "state";
  std::jthread opens;
  {
    RunWriter writer(dir_, /*beside=*/true);
    files_.hold("live/0000");
    writer.save_epoch({0, 1, 1}, tensor_of(text), "line 1");
    writer.begin_packed(0, 0, true, tensor_of(text));
    files_.wait_for("0000.safetensors");
    opens = std::jthread([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      files_.hold("");
    });
  }
  EXPECT_TRUE(dir_.state().has_live(0));
  EXPECT_FALSE(dir_.state().has_packed(0, 0));
}

// A kill between the commit of a state and its line.
TEST_F(RunWriterTest, ALineThatAKillLeftOutIsWrittenByTheNextStart) {
  const std::string text = "state";
  dir_.write_live({0, 1, 1}, tensor_of(text), "line 1");
  dir_.events().append("line 1");
  dir_.write_live({0, 2, 2}, tensor_of(text), "line 2");
  const auto claim = Claim::take(files_, folder_ / "work", this_process("n2", ""),
                                 {std::chrono::milliseconds(0), {}}, [](auto&) {});
  for (const int again : {1, 2}) {
    RunDir next(files_, *claim);
    next.resume();
    EXPECT_THAT(lines(), ElementsAre("line 1", "line 2")) << again;
  }
}

TEST_F(RunWriterTest, WriterZeroCollectsTheLinesOfTheOthersWhileItWaits) {
  RunWriter writer(dir_, /*beside=*/true, /*collects=*/true);
  RunDir other(files_, *claim_, 2);
  other.events().append("theirs");
  const auto shared = [&] { return read_text(files_, folder_ / "work/blocks.jsonl"); };
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!files_.exists(folder_ / "work/blocks.jsonl") &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(shared(), "theirs\n");
}

}  // namespace
}  // namespace bitmill
