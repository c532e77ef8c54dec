// Every file operation of a run fails once, one after the other; the next start, on a disk that is
// well again, gives the bytes of a run that nothing happened to.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "base/error.hpp"
#include "checkpoint/failing_files.hpp"
#include "checkpoint/forgetful_files.hpp"
#include "format/packed_folder.hpp"
#include "forwarding_files.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

class FailingDisk : public TinyJob {
 protected:
  FailingDisk() {
    control_.heartbeat = false;
    control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  }

  QuantizeOptions small(const std::string& name, int lag) {
    QuantizeOptions o = options(name);
    o.samples = 2;
    o.lag = lag;
    return o;
  }

  // `disturbed`: a start whose operation of that number fails; false when it had not so many.
  // Returns the number of operations.
  int sweep(int lag, const std::function<bool(QuantizeOptions, int operation)>& disturbed) {
    run(small("whole", lag));
    int operation = 0;
    for (bool failed = true; failed; ++operation) {
      const QuantizeOptions o = small("out", lag);
      failed = disturbed(o, operation);
      run(o);
      EXPECT_TRUE(bytes("out") == bytes("whole")) << "operation " << operation;
      // Every epoch that counts has its line, once.
      EXPECT_THAT(logged_epochs(o.work_dir), testing::UnorderedElementsAreArray(all_epochs(2, 2)))
          << "operation " << operation;
      verify_packed_folder(*files_, o.output_dir, {});
      for (const std::string& folder : {o.output_dir, o.work_dir}) files_->remove_tree(folder);
    }
    files_->remove_tree(folder_ / "whole");
    files_->remove_tree(folder_ / "whole.work");
    return operation;
  }

  // `files_of`: rank -> the file system it sees.
  void run_in_vain(const QuantizeOptions& o, int ranks,
                   const std::function<Files&(int)>& files_of) {
    try {
      run_where(o, ranks, files_of);
    } catch (const Error&) {
    }
  }
};

// Refuses to write that the folder is given back.
class KeptFolder final : public ForwardingFiles {
 public:
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    return std::make_unique<Output>(ForwardingFiles::create(path), refused_);
  }
  int refused() const { return refused_; }

 private:
  class Output final : public OutputFile {
   public:
    Output(std::unique_ptr<OutputFile> real, int& refused)
        : real_(std::move(real)), refused_(refused) {}
    const std::string& path() const override { return real_->path(); }
    void append(std::span<const std::byte> data) override {
      const std::string text(reinterpret_cast<const char*>(data.data()), data.size());
      if (std::regex_search(text, std::regex("\"released\": ?true"))) {
        ++refused_;
        throw FileError("made to fail at " + path());
      }
      real_->append(data);
    }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      real_->write(offset, data);
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      real_->read(offset, into);
    }
    void sync() override { real_->sync(); }
    void close() override { real_->close(); }

   private:
    const std::unique_ptr<OutputFile> real_;
    int& refused_;
  };

  int refused_ = 0;
};

// What an observer of rank 0 heard.
class HeardPhases final : public QuantizeObserver {
 public:
  void phase_begins(const std::string& phase) override { all += phase + "\n"; }
  std::string all;
};

TEST_F(FailingDisk, AFolderThatCannotBeGivenBackLeavesAStopAStopAndAResultAResult) {
  run(small("whole", 1));
  const QuantizeOptions o = small("out", 1);
  KeptFolder kept;
  HeardPhases heard;
  const auto start = [&] {
    on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
      check_and_quantize(o, kept, comm, pool, heard, control_);
    });
  };
  control_.wishes.asked = [left = 9]() mutable { return left-- <= 0 ? "SIGTERM" : ""; };
  EXPECT_THROW(start(), AgreedStop);
  EXPECT_EQ(kept.refused(), 1);
  EXPECT_THAT(heard.all, testing::HasSubstr("everything is saved, but"));
  EXPECT_THAT(heard.all, testing::HasSubstr("could not be given back"));
  control_.wishes.asked = [] { return ""; };
  heard.all.clear();
  EXPECT_NO_THROW(start());
  EXPECT_EQ(kept.refused(), 2);
  EXPECT_THAT(heard.all, testing::HasSubstr("could not be given back"));
  EXPECT_TRUE(bytes("out") == bytes("whole"));
}

// Once as for a process that died there, once as for one operation that failed.
TEST_F(FailingDisk, AnyFileOperationMayFail) {
  for (const bool for_good : {true, false}) {
    const int lag = for_good ? 1 : 2;  // two turns, and one
    const int operations = sweep(lag, [&](const QuantizeOptions& o, int operation) {
      FailingFiles failing(operation, for_good);
      run_in_vain(o, 1, [&](int) -> Files& { return failing; });
      return failing.failed();
    });
    EXPECT_GT(operations, 60);
  }
}

TEST_F(FailingDisk, APowerCutAtAnyFileOperationMayTakeWhatWasNotSynced) {
  const int operations = sweep(2, [&](const QuantizeOptions& o, int operation) {
    const std::string shelf = folder_ / fmt::format("shelf{}", operation);
    std::filesystem::create_directory(shelf);
    ForgetfulFiles forgetful(operation, shelf);
    run_in_vain(o, 1, [&](int) -> Files& { return forgetful; });
    forgetful.lose_power();
    return forgetful.failed();
  });
  EXPECT_GT(operations, 60);
}

// Rank 1 leads the second stage: it writes blocks and state of its own.
TEST_F(FailingDisk, AnyFileOperationOfEitherRankMayFail) {
  for (const int rank : {0, 1}) {
    const int operations = sweep(2, [&](QuantizeOptions o, int operation) {
      o.stages = 2;
      FailingFiles failing(operation);
      run_in_vain(o, 2, [&](int who) -> Files& {
        return who == rank ? static_cast<Files&>(failing) : *files_;
      });
      return failing.failed();
    });
    EXPECT_GT(operations, rank == 0 ? 40 : 10);
  }
}

}  // namespace
}  // namespace bitmill
