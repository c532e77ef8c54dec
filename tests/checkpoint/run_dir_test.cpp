#include "checkpoint/run_dir.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/error.hpp"
#include "checkpoint/failing_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Vectors = std::map<std::string, std::vector<float>>;

// The message of the error of type E that `call` throws.
template <class E>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("another error: ") + error.what();
  }
  return "no error";
}

TensorSource tensor_of(const std::string& name, const std::string& text) {
  return {name, Dtype::uint8, {std::ssize(text)}, [text] {
            const auto bytes = std::as_bytes(std::span(text));
            return std::vector<std::byte>(bytes.begin(), bytes.end());
          }};
}

std::string text_of(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& info = file.info(name);
  std::string text(static_cast<size_t>(info.bytes), '\0');
  file.read(info, std::as_writable_bytes(std::span(text)));
  return text;
}

std::string with_flipped_bit(std::string content, size_t byte) {
  content.at(byte) = static_cast<char>(content.at(byte) ^ 1);
  return content;
}

class RunDirTest : public testing::Test {
 protected:
  RunDir started(const std::string& fingerprint = "{\"lag\": 5}") {
    RunDir run(*files_, path_);
    run.begin(fingerprint, false);
    return run;
  }
  std::string text(const std::string& name) const { return folder_.read("work/" + name); }
  std::vector<std::string> list(const std::string& name = "") {
    return files_->list(join_path(path_, name));
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const std::string path_ = folder_ / "work";
};

TEST_F(RunDirTest, BeginLeavesTheFingerprintAndTwoEmptyFolders) {
  started("{\"lag\": 5}");
  EXPECT_THAT(list(), ElementsAre("blocks", "live", "run.json"));
  EXPECT_EQ(text("run.json"), "{\"lag\": 5}");
  EXPECT_THAT(list("blocks"), IsEmpty());
}

TEST_F(RunDirTest, BeginTakesAnEmptyFolder) {
  files_->make_directories(path_);
  EXPECT_NO_THROW(started());
}

TEST_F(RunDirTest, UnfinishedRunIsRefusedAndKept) {
  started().write_packed(0, {tensor_of("a", "packed")});
  RunDir second(*files_, path_);
  EXPECT_THAT(message_of<UsageError>([&] { second.begin("{}", false); }),
              AllOf(HasSubstr(path_), HasSubstr("unfinished run (1 blocks packed)"),
                    HasSubstr("--resume=never")));
  EXPECT_EQ(text("run.json"), "{\"lag\": 5}");
  EXPECT_EQ(text_of(second.open_packed(0), "a"), "packed");
}

TEST_F(RunDirTest, PackedBlocksWithoutAFingerprintAreAnUnfinishedRun) {
  started().write_packed(0, {tensor_of("a", "packed")});
  files_->remove(join_path(path_, "run.json"));
  EXPECT_THAT(message_of<UsageError>([&] { started(); }), HasSubstr("unfinished run"));
}

TEST_F(RunDirTest, StartingOverRemovesTheUnfinishedRun) {
  RunDir first = started();
  first.write_packed(0, {tensor_of("a", "packed")});
  first.write_live({1, 0, 1, 8}, {});
  first.append_event("{}");
  RunDir second(*files_, path_);
  second.begin("{\"lag\": 4}", true);
  EXPECT_THAT(list(), ElementsAre("blocks", "live", "run.json"));
  EXPECT_THAT(list("blocks"), IsEmpty());
  EXPECT_THAT(list("live"), IsEmpty());
  EXPECT_EQ(text("run.json"), "{\"lag\": 4}");
}

TEST_F(RunDirTest, FinishLeavesOnlyLogs) {
  RunDir run = started();
  run.write_packed(0, {tensor_of("a", "packed")});
  run.append_event("{\"block\": 0}");
  run.finish();
  EXPECT_THAT(list(), ElementsAre("DONE", "blocks.jsonl", "run.json"));
}

TEST_F(RunDirTest, FinishedRunIsReplaced) {
  RunDir first = started();
  first.append_event("{\"block\": 0}");
  first.finish();
  started("{\"lag\": 1}");
  EXPECT_THAT(list(), ElementsAre("blocks", "live", "run.json"));
  EXPECT_EQ(text("run.json"), "{\"lag\": 1}");
}

TEST_F(RunDirTest, ForeignFilesAreNeverTouched) {
  for (const std::string name : {"thesis.tex", "blocks/notes.txt", "live/12.safetensors",
                                 "photos/a.jpg", "blocks/0001.safetensors/x"}) {
    const TempFolder folder;
    const std::string path = folder / "work";
    RunDir first(*files_, path);
    first.begin("{}", false);
    first.finish();
    folder.write("work/" + name, "mine");
    for (const bool start_over : {false, true}) {
      RunDir second(*files_, path);
      EXPECT_THAT(message_of<UsageError>([&] { second.begin("{}", start_over); }),
                  AllOf(HasSubstr(name.substr(0, 6)), HasSubstr("not a run's")))
          << name;
    }
    EXPECT_EQ(folder.read("work/" + name), "mine");
    EXPECT_EQ(folder.read("work/DONE"), "done\n");
  }
}

TEST_F(RunDirTest, ScratchFilesOfAKilledJobAreNeitherForeignNorARun) {
  for (const char* name :
       {"work/streams-3-4711.tmp", "work/.nfs000012", "work/blocks/.nfs000013"}) {
    folder_.write(name, "activations");
  }
  files_->remove_tree(folder_ / "work/live");
  EXPECT_THAT(message_of<UsageError>([&] { RunDir(*files_, path_).check(false); }),
              HasSubstr("(0 blocks packed)"));  // for its folder "blocks"
  files_->remove_tree(folder_ / "work/blocks");
  EXPECT_NO_THROW(started());
  EXPECT_EQ(text("streams-3-4711.tmp"), "activations");
}

TEST_F(RunDirTest, CheckRefusesWhatBeginRefusesAndTouchesNothing) {
  EXPECT_NO_THROW(RunDir(*files_, path_).check(false));
  EXPECT_FALSE(files_->exists(path_));
  RunDir run = started();
  EXPECT_THAT(message_of<UsageError>([&] { run.check(false); }), HasSubstr("unfinished run"));
  EXPECT_NO_THROW(run.check(true));
  EXPECT_THAT(list(), ElementsAre("blocks", "live", "run.json"));
  folder_.write("work/thesis.tex", "mine");
  EXPECT_THAT(message_of<UsageError>([&] { run.check(true); }), HasSubstr("thesis.tex"));
}

TEST_F(RunDirTest, FileInPlaceOfTheFolderIsRefused) {
  folder_.write("work", "a file");
  EXPECT_THAT(message_of<UsageError>([&] { started(); }), HasSubstr("is a file"));
}

TEST_F(RunDirTest, EventsAreAppended) {
  RunDir run = started();
  run.append_event("{\"epoch\": 0}");
  run.append_event("{\"epoch\": 1}");
  EXPECT_EQ(text("blocks.jsonl"), "{\"epoch\": 0}\n{\"epoch\": 1}\n");
}

TEST_F(RunDirTest, PackedBlockReadsBack) {
  RunDir run = started();
  run.write_packed(3, {tensor_of("a.signs", "0123456789"), tensor_of("a.empty", "")});
  EXPECT_THAT(list("blocks"), ElementsAre("0003.safetensors"));
  const SafetensorsFile file = run.open_packed(3);
  EXPECT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(text_of(file, "a.signs"), "0123456789");
  EXPECT_EQ(text_of(file, "a.empty"), "");
}

TEST_F(RunDirTest, DamagedPackedBlockIsRefused) {
  RunDir run = started();
  run.write_packed(3, {tensor_of("a.signs", "0123456789")});
  const std::string whole = text("blocks/0003.safetensors");
  folder_.write("work/blocks/0003.safetensors", with_flipped_bit(whole, whole.size() - 4));
  EXPECT_THAT(message_of<FormatError>([&] { run.open_packed(3); }),
              AllOf(HasSubstr("0003.safetensors"), HasSubstr("\"a.signs\" is damaged")));
}

TEST_F(RunDirTest, BlockUnderAnotherNumberIsRefused) {
  RunDir run = started();
  run.write_packed(3, {tensor_of("a", "x")});
  files_->rename(path_ + "/blocks/0003.safetensors", path_ + "/blocks/0004.safetensors");
  EXPECT_THAT(message_of<FormatError>([&] { run.open_packed(4); }),
              HasSubstr("0004.safetensors says that it is block 3"));
}

TEST_F(RunDirTest, MissingBlockIsAFileError) {
  RunDir run = started();
  EXPECT_THROW(run.open_packed(0), FileError);
  Vectors vectors;
  EXPECT_THROW(run.read_live(0, vectors), FileError);
}

const std::vector<float> scales = {1.5F, -0.0F, 3e-39F};
const Progress progress = {2, 1, 5, int64_t{1} << 40};

TEST_F(RunDirTest, LiveStateReadsBackBitForBit) {
  RunDir run = started();
  run.write_live(progress, {{"scale", scales}, {"moment", {}}});
  Vectors vectors = {{"stale", {1.0F}}};
  EXPECT_EQ(run.read_live(2, vectors), progress);
  ASSERT_EQ(vectors.size(), 2U);
  EXPECT_THAT(vectors.at("moment"), IsEmpty());
  ASSERT_EQ(vectors.at("scale").size(), scales.size());
  EXPECT_EQ(std::memcmp(vectors.at("scale").data(), scales.data(), sizeof(float) * 3), 0);
}

TEST_F(RunDirTest, LiveStateIsReplacedAndRemoved) {
  RunDir run = started();
  run.write_live(progress, {{"scale", scales}});
  run.write_live({2, 2, 10, 7}, {{"scale", std::vector<float>{9.0F}}});
  Vectors vectors;
  EXPECT_EQ(run.read_live(2, vectors), (Progress{2, 2, 10, 7}));
  EXPECT_THAT(vectors.at("scale"), ElementsAre(9.0F));
  run.remove_live(2);
  run.remove_live(2);
  EXPECT_THAT(list("live"), IsEmpty());
}

// Any single damaged byte, header and counters included.
TEST_F(RunDirTest, NoDamagedByteOfLiveStateGoesUnnoticed) {
  RunDir run = started();
  run.write_live(progress, {{"scale", scales}, {"gain", scales}});
  const std::string name = "work/live/0002.safetensors";
  const std::string whole = folder_.read(name);
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    folder_.write(name, with_flipped_bit(whole, byte));
    Vectors vectors;
    EXPECT_THROW(run.read_live(2, vectors), FormatError) << "byte " << byte << " of " << whole;
    EXPECT_THAT(vectors, IsEmpty());
  }
  folder_.write(name, whole);
  Vectors vectors;
  EXPECT_EQ(run.read_live(2, vectors), progress);
}

TEST_F(RunDirTest, NoTruncatedLiveStateIsTaken) {
  RunDir run = started();
  run.write_live(progress, {{"scale", scales}});
  const std::string name = "work/live/0002.safetensors";
  const std::string whole = folder_.read(name);
  for (size_t size = 0; size < whole.size(); size += 7) {
    folder_.write(name, whole.substr(0, size));
    Vectors vectors;
    EXPECT_THROW(run.read_live(2, vectors), FormatError) << size << " of " << whole.size();
  }
}

TEST_F(RunDirTest, WriteThatFailsAnywhereLeavesTheOldOrTheNewState) {
  started().write_live({0, 1, 5, 5}, {{"scale", scales}});
  bool finished = false;
  for (int operations = 0; !finished; ++operations) {
    ASSERT_LT(operations, 50);
    FailingFiles failing(operations);
    const int step = operations + 6;
    try {
      RunDir(failing, path_).write_live({0, 1, 5, step}, {{"scale", scales}});
      finished = true;
    } catch (const FileError&) {
      EXPECT_TRUE(failing.failed());
    }
    Vectors vectors;
    const Progress found = RunDir(*files_, path_).read_live(0, vectors);
    EXPECT_TRUE(found.steps <= step && (!finished || found.steps == step)) << found.steps;
    EXPECT_EQ(vectors.at("scale").size(), scales.size());
  }
}

TEST_F(RunDirTest, InterruptedStartOverNeverMakesAnUnfinishedRunLookFinishedOrForeign) {
  bool finished = false;
  for (int operations = 0; !finished; ++operations) {
    ASSERT_LT(operations, 50);
    const TempFolder folder;
    const std::string path = folder / "work";
    RunDir first(*files_, path);
    first.begin("{\"run\": 1}", false);
    first.write_packed(0, {tensor_of("a", "x")});
    first.append_event("{}");
    FailingFiles failing(operations);
    try {
      RunDir(failing, path).begin("{\"run\": 2}", true);
      finished = true;
    } catch (const FileError&) {
      EXPECT_TRUE(failing.failed());
    }
    EXPECT_FALSE(files_->exists(path + "/DONE"));
    RunDir third(*files_, path);
    EXPECT_NO_THROW(third.begin("{\"run\": 3}", true)) << operations;
    EXPECT_EQ(folder.read("work/run.json"), "{\"run\": 3}");
  }
}

TEST_F(RunDirTest, InterruptedFinishKeepsTheBlocksOrSaysDone) {
  bool finished = false;
  for (int operations = 0; !finished; ++operations) {
    ASSERT_LT(operations, 50);
    const TempFolder folder;
    const std::string path = folder / "work";
    RunDir first(*files_, path);
    first.begin("{}", false);
    first.write_packed(0, {tensor_of("a", "x")});
    FailingFiles failing(operations);
    try {
      RunDir(failing, path).finish();
      finished = true;
    } catch (const FileError&) {
      EXPECT_TRUE(failing.failed());
    }
    if (!files_->exists(path + "/DONE")) {
      EXPECT_NO_THROW(first.open_packed(0)) << operations;
    }
  }
}

}  // namespace
}  // namespace bitmill
