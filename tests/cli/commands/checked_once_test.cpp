// Commands from their words to their end: what the check has read, the work does not read again.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "cli/commands/invocation.hpp"
#include "comm/self_communicator.hpp"
#include "counted_files.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

const std::string books = BITMILL_SOURCE_DIR "/tests/data/books-2M";
const std::string calib = BITMILL_SOURCE_DIR "/tests/data/books/calib.txt";
const std::string small = " --samples 2 --seq-len 16 --epochs 1 --calib " + calib;

class CheckedOnce : public ::testing::Test {
 protected:
  // A command on one rank.
  void run(const std::string& line) {
    std::istringstream words(line);
    const std::vector<std::string> all(std::istream_iterator<std::string>(words), {});
    const Invocation invocation = read_invocation(files_, all);
    at::set_num_threads(1);
    ThreadPool pool(1, [] { at::set_num_threads(1); });
    const auto comm = self_communicator();
    Console console(nullptr, nullptr, false);
    const StopSignals deaf;
    Watch watch(*comm, "host", 0, pool);
    const auto command = invocation.entry->make(files_, invocation.settings);
    command->check({files_, 1, 1, {1, int64_t{1} << 40}});
    RunContext context{files_, *comm, pool, console, deaf, watch.activity(), watch};
    command->run(context);
  }
  void quantize() {
    run("quantize --model " + books + " --max-blocks 1 --output-dir " + packed_ + small);
  }
  std::string tune_words() const {
    return "tune --model " + packed_ + " --reference " + books + " --batch 1 --output-dir " +
           folder_ / "tuned" + small;
  }

  // How often the bytes of a tensor were read so far.
  int64_t times_read(const std::string& folder, const std::string& tensor) {
    const SafetensorsFile file(files_, join_path(folder, "model.safetensors"));
    const TensorInfo& info = file.info(tensor);
    const int64_t bytes = files_.read_of(file.path(), info.offset, info.bytes);
    EXPECT_EQ(bytes % info.bytes, 0);
    return bytes / info.bytes;
  }
  int64_t times_read(const std::string& file) {
    const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
    EXPECT_EQ(files_.read_of(file) % size, 0);
    return files_.read_of(file) / size;
  }

  const TempFolder folder_;
  const std::string packed_ = folder_ / "packed";
  CountedFiles files_;
};

TEST_F(CheckedOnce, QuantizeReadsTheTextOnce) {
  quantize();
  EXPECT_EQ(times_read(calib), 1);
  // To make a tokenizer, and to copy it.
  EXPECT_EQ(times_read(books + "/tokenizer.json"), 2);
}

TEST_F(CheckedOnce, TuneReadsTheTextOnceAndVerifiesAndHashesThePackedModelInOnePass) {
  quantize();
  const std::string signs = "model.layers.0.mlp.up_proj.weight.signs";
  const int64_t before = times_read(packed_, signs), texts = times_read(calib);
  run(tune_words() + " --dry-run");
  EXPECT_EQ(times_read(packed_, signs) - before, 1);
  EXPECT_EQ(times_read(calib) - texts, 1);

  run(tune_words());
  // A dry run, and this one: the verification, two to train and to pack the block, and the copy.
  EXPECT_EQ(times_read(packed_, signs) - before, 1 + 4);
  EXPECT_EQ(times_read(calib) - texts, 2);

  // The result is there: of the packed model nothing but its verification.
  run(tune_words());
  EXPECT_EQ(times_read(packed_, signs) - before, 1 + 4 + 1);
}

}  // namespace
}  // namespace bitmill
