// How `quantize` chooses its mesh: within the memory there is, by the hardware that was named.

#include "cli/commands/quantize_job.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <sstream>

#include "base/error.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/options/hardware.hpp"
#include "format/safetensors_writer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t plenty = int64_t{1} << 40;  // bytes of a rank

class QuantizeJobTest : public ::testing::Test {
 protected:
  // The bundled model's four blocks, 8 windows of 64 tokens.
  QuantizeJob checked(const std::string& more, int ranks, int64_t memory = plenty) {
    return checked_words("--calib " BITMILL_SOURCE_DIR
                         "/tests/data/books/calib.txt --samples 8 --seq-len 64 " +
                             more,
                         ranks, memory);
  }
  QuantizeJob checked_words(const std::string& more, int ranks, int64_t memory) {
    std::istringstream words("quantize --model " BITMILL_SOURCE_DIR
                             "/tests/data/books-2M --output-dir " +
                             folder_ / "result" + " " + more);
    const std::vector<std::string> all(std::istream_iterator<std::string>(words), {});
    QuantizeJob job(read_quantize_request(*files_, read_invocation(*files_, all).settings));
    job.check({*files_, ranks, 1, {1, memory}});
    return job;
  }

  // Training is nearly all that takes time: 10 s a sample. The link has no limit but its latency.
  std::string hardware(double link_latency_s) {
    Machine machine;
    machine.unit_flops_per_s = 1e7;
    machine.forward_flops_per_s = machine.prepare_weights_per_s = 1e13;
    machine.pack_weights_per_s = machine.memory_bytes_per_s = 1e13;
    machine.link_bytes_per_s = machine.read_bytes_per_s = machine.write_bytes_per_s = 1e13;
    machine.link_latency_s = link_latency_s;
    machine.fixed_bytes = 1;  // a table has sizes above 0
    return " --hardware " + folder_.write(link_latency_s > 0 ? "far.cfg" : "near.cfg",
                                          hardware_text(machine, "a test"));
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

// A wavefront of four turns is sooner on one rank, and holds eight streams where a sweep has three.
// Half of what there is may be planned with: others may count the same bytes. The copy of a state
// is given up before the wavefront is.
TEST_F(QuantizeJobTest, WithoutALimitHalfTheShareOfTheHostsMemoryIsOne) {
  const QuantizeJob wide = checked("--recipe parallel", 1);
  EXPECT_EQ(wide.forecast().walk, Walk::wavefront);
  EXPECT_TRUE(wide.forecast().save_beside);
  const int64_t little = 2 * wide.forecast().peak_memory_bytes - 2;
  const QuantizeJob tight = checked("--recipe parallel", 1, little);
  EXPECT_EQ(tight.forecast().walk, Walk::wavefront);
  EXPECT_FALSE(tight.forecast().save_beside);
  const int64_t too_little = 2 * tight.forecast().peak_memory_bytes - 2;
  EXPECT_EQ(checked("--recipe parallel", 1, too_little).forecast().walk, Walk::sweep);
  EXPECT_EQ(checked("--recipe parallel", 1, 0).forecast().walk, Walk::sweep) << "nobody knows";
}

// Whether it fits after all is asked of all ranks of a host together.
TEST_F(QuantizeJobTest, WhereNothingFitsASweepIsTaken) {
  EXPECT_EQ(checked("--recipe parallel", 1, 1000).forecast().walk, Walk::sweep);
  EXPECT_THROW(checked("--recipe parallel --memory-limit 1000", 1), UsageError) << "it was given";
}

// The backend that trains holds weights as floats, and the libraries, whatever a table says.
TEST_F(QuantizeJobTest, WhatFitsTheChoiceFitsTheRun) {
  const QuantizeJob job = checked("--recipe parallel --walk sweep --hardware h100", 1);
  const std::string exact = std::to_string(job.forecast().peak_memory_bytes);
  const std::string least = std::to_string(job.forecast().peak_memory_bytes / 2);
  const std::string words = "--recipe parallel --walk sweep --hardware h100 --memory-limit ";
  EXPECT_THROW(checked(words + least, 1), UsageError);
  EXPECT_EQ(checked("--recipe parallel --walk sweep --memory-limit " + exact, 1).forecast().mesh,
            job.forecast().mesh);
}

// 128 windows are normal, and the file has three.
TEST_F(QuantizeJobTest, WhatAStopWouldKeepIsThatOfTheWindowsThatWereRead) {
  std::vector<int32_t> ids(size_t{3} * 32);
  std::iota(ids.begin(), ids.end(), 7);
  write_safetensors(*files_, folder_ / "windows.safetensors",
                    {{"input_ids",
                      Dtype::int32,
                      {3, 32},
                      [&](const ByteSink& sink) { sink(std::as_bytes(std::span(ids))); }}},
                    {});
  const QuantizeJob job = checked_words("--calib " + folder_ / "windows.safetensors", 1, plenty);
  EXPECT_EQ(job.forecast().samples, 3);
  EXPECT_EQ(job.options().resume_costs.streams_bytes, int64_t{2} * 3 * 32 * 192 * 4);
}

TEST_F(QuantizeJobTest, ATableOfHardwareSteersTheChoiceAndNotTheResult) {
  const QuantizeJob near = checked("--recipe parallel --walk sweep" + hardware(0), 2);
  const QuantizeJob far = checked("--recipe parallel --walk sweep" + hardware(10), 2);
  EXPECT_EQ(near.forecast().mesh, (Mesh{1, 2}));  // no fill and drain
  EXPECT_EQ(far.forecast().mesh, (Mesh{2, 1}));   // no message in every step
  EXPECT_EQ(near.forecast().fingerprint_json, far.forecast().fingerprint_json);
}

TEST_F(QuantizeJobTest, WhatAnotherRecipeSavesIsSaidOfThisJob) {
  const std::string slow = hardware(0);
  // Half the epochs, and signs.
  EXPECT_THAT(checked(slow, 4).mesh_text(),
              AllOf(HasSubstr("3 of 4 ranks will idle"), HasSubstr("recipe best would take about"),
                    Not(HasSubstr("\n"))));
  // What was given wins over either recipe: with as many epochs, signs take longer.
  EXPECT_THAT(checked("--epochs 20" + slow, 4).mesh_text(),
              HasSubstr("recipe parallel would take about"));
  // A batch of two leaves `best` two ranks, as it does here; `parallel` has stages too.
  EXPECT_THAT(checked("--batch 2 --epochs 20" + slow, 4).mesh_text(),
              AllOf(HasSubstr("recipe parallel would"), HasSubstr("on 4 of 4 ranks")));
}

TEST_F(QuantizeJobTest, ARecipeThatIsInUseOrRefusedOrNoLargerIsNotAdvised) {
  const std::string slow = hardware(0);
  EXPECT_THAT(checked("--recipe parallel" + slow, 64).mesh_text(),
              AllOf(HasSubstr("32 of 64 ranks will idle"), Not(HasSubstr("recipe"))));
  // Turns of four epochs do not divide the ten of `best`.
  EXPECT_THAT(checked("--lag 4" + slow, 40).mesh_text(),
              AllOf(HasSubstr("recipe parallel would"), Not(HasSubstr("best"))));
  // The one block has no second stage, and the batch no second rank: no recipe changes that.
  EXPECT_THAT(checked("--batch 1 --max-blocks 1" + slow, 4).mesh_text(),
              AllOf(HasSubstr("3 of 4 ranks will idle"), Not(HasSubstr("recipe"))));
}

}  // namespace
}  // namespace bitmill
