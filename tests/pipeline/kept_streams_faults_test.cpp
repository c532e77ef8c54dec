// Kills, damage and disks without room, while streams are kept and when they are read: the run goes
// on without them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/error.hpp"
#include "forwarding_files.hpp"
#include "pipeline/kept_streams_job.hpp"

namespace bitmill {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Counts what happens to kept streams, and does something else at one of these operations.
class StreamsDisk final : public ForwardingFiles {
 public:
  StreamsDisk(int at, std::function<void()> instead) : left_(at), instead_(std::move(instead)) {}

  bool happened() const { return left_ < 0; }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    count(path);
    return ForwardingFiles::create(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    count(to);
    ForwardingFiles::rename(from, to);
  }
  void remove(const std::string& path) override {
    count(path);
    ForwardingFiles::remove(path);
  }
  void sync_directory(const std::string& path) override {
    count(path);
    ForwardingFiles::sync_directory(path);
  }

 private:
  void count(const std::string& path) {
    if (path.find("/streams") != path.npos && left_-- == 0) instead_();
  }

  std::atomic<int> left_;
  const std::function<void()> instead_;
};

TEST_F(KeptStreamsJob, DamagedOnesAreNamedAndNotUsed) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const MeshShape shape = {2, 2, Walk::sweep};
  const QuantizeOptions o = on(keeping("out", 1), shape);
  const auto damaged_file = [&](size_t number) {
    EXPECT_EQ(heard(o, 60).size(), 1U);
    const auto files = stream_files(o);
    if (number >= files.size()) return std::string();
    std::string content = read_text(*files_, files[number]);
    content[content.size() - 3] = static_cast<char>(content[content.size() - 3] ^ 1);
    const auto damaged = files_->create(files[number]);
    damaged->write(0, std::as_bytes(std::span(content)));
    damaged->close();
    return files[number];
  };
  size_t number = 0;
  for (;; ++number) {
    const std::string file = damaged_file(number);
    if (file.empty()) break;
    EXPECT_THAT(heard(o), Contains(HasSubstr("cannot be used"))) << file;
    EXPECT_TRUE(bytes("out") == bytes("whole")) << file;
    remove_all(o);
  }
  EXPECT_GT(number, 5U);
}

// At every operation on kept streams, on the first rank and on the last one.
TEST_F(KeptStreamsJob, AKillWhileTheyAreKeptLeavesNothingThatIsBelieved) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = on(keeping("out", 1), {2, 2, Walk::sweep});
  for (const int victim : {0, 3}) {
    int operation = 0;
    for (bool killed = true; killed; ++operation) {
      // What an earlier stop has kept is replaced.
      heard(o, 45);
      StreamsDisk disk(operation, [] { throw CommError("this process was killed"); });
      try {
        heard_where(o, 20, [&](int rank) -> Files& { return rank == victim ? disk : *files_; });
      } catch (const CommError&) {
      }
      killed = disk.happened();
      heard(on(o, mesh_shapes[static_cast<size_t>(operation) % mesh_shapes.size()]));
      EXPECT_TRUE(bytes("out") == bytes("whole"))
          << "rank " << victim << ", operation " << operation;
      remove_all(o);
    }
    EXPECT_GE(operation, 4) << "rank " << victim;
  }
}

// The stop itself must not fail: everything that was trained is committed.
TEST_F(KeptStreamsJob, ADiskWithoutRoomForThemKeepsTheRun) {
  QuantizeOptions whole = keeping("whole", 1);
  run(whole);
  const QuantizeOptions o = on(keeping("out", 1), {2, 2, Walk::sweep});
  for (const int victim : {0, 3}) {
    struct FullDisk final : ForwardingFiles {
      std::unique_ptr<OutputFile> create(const std::string& path) override {
        if (path.find("/streams/") != path.npos) throw FileError("no space left for " + path);
        return ForwardingFiles::create(path);
      }
    } full;
    const auto said =
        heard_where(o, 60, [&](int rank) -> Files& { return rank == victim ? full : *files_; });
    EXPECT_THAT(said, ElementsAre(HasSubstr("keeping the streams"),
                                  HasSubstr("the streams are not kept: no space left")));
    heard(o);
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// A start is refused that does not find all the room it needs: the streams must leave it.
TEST_F(KeptStreamsJob, TheyLeaveTheRoomThatTheNextStartNeeds) {
  struct AlmostFull final : ForwardingFiles {
    int64_t left = 0;
    int64_t free_bytes(const std::string& path) override {
      return path.ends_with("/streams") ? left : ForwardingFiles::free_bytes(path);
    }
  } disk;
  QuantizeOptions whole = keeping("whole");
  run(whole);
  const QuantizeOptions o = keeping("out");
  const CheckedQuantize checked = check_quantize(o, *files_, 1, 1);
  const int64_t needed = room_of_a_start(job_folders(checked.options, checked.forecast), *files_);
  EXPECT_GT(needed, 0);
  for (const int64_t more : {int64_t{0}, int64_t{1} << 24}) {
    disk.left = needed + more;
    const auto said = heard_where(o, 24, [&](int) -> Files& { return disk; });
    EXPECT_THAT(said, ElementsAre(HasSubstr(more > 0 ? "keeping the streams of"
                                                     : "the streams are not kept: they take")));
    EXPECT_EQ(stream_files(o).empty(), more == 0);
    heard(o);
    EXPECT_TRUE(bytes("out") == bytes("whole"));
    remove_all(o);
  }
}

// Where those that are not used cannot be removed, the others are used as ever.
TEST_F(KeptStreamsJob, OnesThatCannotBeRemovedAreNamed) {
  struct Stuck final : ForwardingFiles {
    void remove(const std::string& path) override {
      if (path.find("/streams/") != path.npos) throw FileError("cannot remove " + path);
      ForwardingFiles::remove(path);
    }
  } stuck;
  const QuantizeOptions o = keeping("out", 1);
  heard(o, 18);
  const auto said =
      heard_where(on(o, {2, 1, Walk::sweep}), 4, [&](int) -> Files& { return stuck; });
  EXPECT_THAT(said, Contains(HasSubstr("does not use stay in the run folder: cannot remove")));
  EXPECT_THAT(said, Not(Contains(HasSubstr("cannot be used"))));
}

}  // namespace
}  // namespace bitmill
