// The plan of a GPU's memory against what libtorch's allocator counts, and where the samples of a
// job lie. On a GPU, or on the emulation of one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "device/device.hpp"
#include "pipeline/tiny_job.hpp"
#include "schedule/rank_memory.hpp"

namespace bitmill {
namespace {

class MemoryOnDevice : public TinyJob {
 protected:
  struct Peaks {
    int64_t planned = 0, measured = 0;
    QuantizeForecast forecast;
  };

  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    if (!host.problem.empty()) GTEST_SKIP() << host.problem;
  }

  QuantizeOptions on_device(const std::string& name, Dtype dtype) {
    QuantizeOptions o = options(name);
    o.backend = "cuda";
    o.dtype = dtype;
    return o;
  }

  // A block of a size at which what is rounded up does not matter.
  void use_wider_blocks() { use_wide_blocks(96, 256); }
  void use_wide_blocks(int64_t hidden, int64_t inner) {
    config_["hidden_size"] = hidden;
    config_["head_dim"] = hidden / 4;
    config_["intermediate_size"] = inner;
    config_["num_attention_heads"] = 4;
    config_["num_key_value_heads"] = 2;
    config_["num_hidden_layers"] = 2;
    test::write_model(*files_, folder_ / "model", config_, test::tiny_tensors(config_));
  }

  Peaks peaks_of(const QuantizeOptions& o) {
    Peaks peaks;
    on_ranks(1, 1, [&](Communicator& comm, ThreadPool& pool) {
      QuantizeObserver silent;
      const auto device = device_of(o, pool);
      const CheckedQuantize checked = check_quantize(o, *files_, 1, pool.size());
      const QuantizeResult result = quantize(checked, *files_, comm, *device, silent, control_);
      peaks = {result.planned_device_bytes, result.device_peak_bytes, checked.forecast};
    });
    RecordProperty("planned", static_cast<int>(peaks.planned));
    RecordProperty("measured", static_cast<int>(peaks.measured));
    return peaks;
  }

  static void expect_close(const Peaks& peaks) {
    if (peaks.measured == 0)
      GTEST_SKIP() << "libtorch's allocator counts nothing without its cache";
    EXPECT_NEAR(static_cast<double>(peaks.measured), static_cast<double>(peaks.planned),
                0.05 * static_cast<double>(peaks.planned))
        << "measured less planned " << peaks.measured - peaks.planned << ", a block "
        << peaks.forecast.device_block_bytes << ", temporary memory of attention "
        << peaks.forecast.device_attention_bytes << ", streams " << peaks.forecast.stream_bytes;
  }
};

TEST_F(MemoryOnDevice, APlanOfFrozenSignsInFloat32IsWithinFivePercent) {
  use_wider_blocks();
  QuantizeOptions o = on_device("out", Dtype::float32);
  o.samples = 4;
  o.seq_len = 64;
  expect_close(peaks_of(o));
}

TEST_F(MemoryOnDevice, APlanOfAllThatCanBeLearnedInBfloat16IsWithinFivePercent) {
  use_wider_blocks();
  QuantizeOptions o = on_device("out", Dtype::bfloat16);
  o.samples = 4;
  o.batch = 4;
  o.seq_len = 64;
  o.method.learned = {true, true, true};
  o.method.int4_clip = true;
  o.method.lr_sign = 3e-3;
  expect_close(peaks_of(o));
}

// Wide and short: operands, and what is kept for packing, are most of it.
TEST_F(MemoryOnDevice, APlanOfABlockThatIsMostlyOperandsIsWithinFivePercent) {
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    use_wide_blocks(256, 512);
    QuantizeOptions o = on_device(dtype == Dtype::float32 ? "float32" : "bfloat16", dtype);
    o.samples = 1;
    o.seq_len = 16;
    o.epochs = 1;
    expect_close(peaks_of(o));
  }
}

// Of 33 samples of three streams: all on the GPU; some there, some on the host; and some in the
// scratch file, too.
TEST_F(MemoryOnDevice, WhereSamplesLieDoesNotChangeTheResult) {
  use_wider_blocks();
  const QuantizeOptions all = on_device("all", Dtype::float32);
  const Peaks free = peaks_of(all);
  const int64_t sample = all.seq_len * 96 * 4;
  QuantizeOptions some = on_device("some", Dtype::float32);
  some.device_memory_limit =
      free.forecast.device_block_bytes + free.forecast.device_arriving_bytes + 5 * sample;
  const Peaks tight = peaks_of(some);
  EXPECT_LT(tight.planned, free.planned);
  EXPECT_LE(tight.planned, some.device_memory_limit);
  QuantizeOptions spilled = on_device("spilled", Dtype::float32);
  spilled.device_memory_limit = some.device_memory_limit;
  spilled.stream_memory = 7 * sample;
  run(spilled);
  EXPECT_TRUE(bytes("all") == bytes("some"));
  EXPECT_TRUE(bytes("all") == bytes("spilled"));
  EXPECT_LE(tight.measured, free.measured);
  expect_close(tight);
}

TEST_F(MemoryOnDevice, ABlockThatDoesNotFitIsRefusedWithTheFigures) {
  QuantizeOptions o = on_device("out", Dtype::float32);
  const int64_t needed = peaks_of(o).forecast.device_block_bytes;
  QuantizeOptions refused = on_device("refused", Dtype::float32);
  refused.device_memory_limit = needed - 1;
  EXPECT_THAT(message(refused),
              testing::AllOf(testing::HasSubstr(std::to_string(needed)),
                             testing::HasSubstr("--device-memory-limit"),
                             testing::HasSubstr("--seq-len"), testing::HasSubstr("bfloat16")));
  QuantizeOptions narrow = on_device("narrow", Dtype::bfloat16);
  narrow.device_memory_limit = 1;
  EXPECT_THAT(message(narrow), testing::AllOf(testing::HasSubstr("--device-memory-limit"),
                                              testing::Not(testing::HasSubstr("bfloat16"))));
}

TEST_F(MemoryOnDevice, APlanOfATrainedModelIsWithinFivePercent) {
  const std::string shared = BITMILL_SOURCE_DIR "/../shared/";
  const std::string model = shared + "models/stories260K";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << "no " << model << " on this machine";
  QuantizeOptions o = on_device("out", Dtype::bfloat16);
  o.model = model;
  o.calib = shared + "text/tinystories/train.txt";
  o.samples = 4;
  o.seq_len = 64;
  o.max_blocks = 2;
  expect_close(peaks_of(o));
}

}  // namespace
}  // namespace bitmill
