#include "checkpoint/audit.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "forwarding_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;

TensorSource byte_tensor(const std::string& name) {
  return {name, Dtype::uint8, {3}, [](const ByteSink& sink) {
            sink(std::vector<std::byte>(3, std::byte{7}));
          }};
}

// A run with two packed blocks, a live one, a turn set aside, and kept sources.
class AuditTest : public testing::Test {
 protected:
  AuditTest() {
    const auto claim =
        Claim::take(*files_, path_, this_process("n1", ""),
                    {std::chrono::milliseconds(0), std::chrono::milliseconds(1)}, [](auto&) {});
    RunDir run(*files_, *claim);
    run.begin({R"({"lag":5})", {"cpu"}});
    run.keep_source(outside_blocks, {{"embedding", "11"}});
    run.keep_source(0, {{"a", "22"}});
    for (const int block : {0, 1, 2}) run.write_packed(block, 0, true, {byte_tensor("a")});
    run.set_aside(2, 1);
    run.write_live({3, 1, 4}, {byte_tensor("learned")});
    claim->release("stopped");
  }

  RunAudit audit() {
    ThreadPool pool(2);
    return audit_run(*files_, path_, pool);
  }
  void flip_last_byte(const std::string& name) {
    std::string content = folder_.read(state_ + name);
    // The last but one: JSON files end with a newline that nobody reads.
    content[content.size() - 2] = static_cast<char>(content[content.size() - 2] ^ 1);
    folder_.write(state_ + name, content);
  }
  std::vector<std::string> paths(const RunAudit& found) const {
    std::vector<std::string> names;
    for (const FileFault& fault : found.faults) {
      names.push_back(fault.path.substr((folder_ / state_).size()));
    }
    return names;
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const std::string path_ = folder_ / "work";
  const std::string state_ = "work/state-0001/";
};

TEST_F(AuditTest, WholeRunIsSoundAndEveryFileIsLookedAt) {
  const RunAudit found = audit();
  EXPECT_TRUE(found.sound()) << found.faults.front().what;
  // run.json, holder.json, two packed blocks, one set aside, one live state, two sources.
  EXPECT_EQ(found.files, 8);
  EXPECT_GT(found.bytes, 500);
}

TEST_F(AuditTest, EveryDamagedFileIsNamedWithWhatHelps) {
  for (const char* name :
       {"run.json", "blocks/0001.0.safetensors", "live/0003.safetensors", "sources/0000.json"}) {
    flip_last_byte(name);
  }
  const RunAudit found = audit();
  EXPECT_THAT(paths(found), ElementsAre("blocks/0001.0.safetensors", "live/0003.safetensors",
                                        "run.json", "sources/0000.json"));
  EXPECT_THAT(found.redo_blocks, ElementsAre(1, 3));
  EXPECT_THAT(found.faults[2].what, HasSubstr("--resume never"));
  EXPECT_THAT(found.faults[3].what, HasSubstr("remove it"));
}

TEST_F(AuditTest, MissingBlockBeforeOneThatIsThereIsNamed) {
  files_->remove(path_ + "/state-0001/blocks/0000.0.safetensors");
  EXPECT_THAT(audit().faults,
              ElementsAre(Field(&FileFault::what, AllOf(HasSubstr("blocks/0000.0.safetensors"),
                                                        HasSubstr("is missing")))));
}

TEST_F(AuditTest, NothingIsChanged) {
  const std::string before = folder_.read(state_ + "holder.json");
  audit();
  EXPECT_EQ(folder_.read(state_ + "holder.json"), before);
  EXPECT_EQ(files_->list(path_), std::vector<std::string>{"state-0001"});
}

TEST_F(AuditTest, FolderWithoutARunIsRefused) {
  ThreadPool pool(1);
  EXPECT_THROW(audit_run(*files_, folder_ / "nowhere", pool), UsageError);
}

// Takes the run over when a packed block is opened, as another start would.
class TakenOver final : public ForwardingFiles {
 public:
  TakenOver(std::string work_dir, int times) : work_dir_(std::move(work_dir)), left_(times) {}
  std::unique_ptr<InputFile> open(const std::string& path) override {
    {
      const std::lock_guard lock(mutex_);
      if (left_ > 0 && path.ends_with("0000.0.safetensors")) {
        --left_;
        const int now = find_state(*this, work_dir_)->generation;
        rename(work_dir_ + "/state-000" + std::to_string(now),
               work_dir_ + "/state-000" + std::to_string(now + 1));
      }
    }
    return ForwardingFiles::open(path);
  }

 private:
  std::mutex mutex_;  // audits read with several threads
  const std::string work_dir_;
  int left_;
};

TEST_F(AuditTest, ARunThatIsTakenOverMeanwhileIsLookedAtAgain) {
  ThreadPool pool(2);
  const int64_t files = audit().files;
  TakenOver twice(path_, 2);
  const RunAudit found = audit_run(twice, path_, pool);
  EXPECT_TRUE(found.sound());
  EXPECT_EQ(found.files, files);
  EXPECT_EQ(found.state_path, path_ + "/state-0003");
  TakenOver always(path_, 100);
  EXPECT_THAT([&] { audit_run(always, path_, pool); },
              testing::ThrowsMessage<Error>(HasSubstr("was taken over 5 times")));
}

TEST_F(AuditTest, TheHoldersRecordIsLookedAtToo) {
  flip_last_byte("holder.json");
  EXPECT_THAT(paths(audit()), ElementsAre("holder.json"));
}

}  // namespace
}  // namespace bitmill
