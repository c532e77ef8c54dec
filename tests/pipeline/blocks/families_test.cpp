// The whole way of every family: quantized, read back, evaluated, exported, read again.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "comm/thread_communicator.hpp"
#include "data/token_text.hpp"
#include "eval/evaluate.hpp"
#include "format/export_folder.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "model/golden_files.hpp"
#include "model/one_thread.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/tiny_job.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

const std::string golden_folder = BITMILL_SOURCE_DIR "/tests/golden/models/";

class FamilyRun : public testing::TestWithParam<const char*> {
 protected:
  FamilyRun()
      : golden_(test::read_golden(*files_, golden_folder + GetParam() + ".golden.safetensors")) {
    write_token_file(*files_, folder_ / "calib.safetensors", {.ids = golden_.ids});
  }

  std::string quantized(const std::string& name, int ranks = 1, int threads = 1) {
    QuantizeOptions o;
    o.model = golden_folder + GetParam();
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.calib = folder_ / "calib.safetensors";
    o.samples = 6;
    o.seq_len = 11;
    o.epochs = 2;
    o.batch = 3;
    o.method.lr_scale = o.method.lr_gain = 1e-2;
    run_ranks(ranks, [&](Communicator& comm) {
      at::set_num_threads(1);
      ThreadPool pool(threads, [] { at::set_num_threads(1); });
      QuantizeObserver silent;
      RunControl control;
      check_and_quantize(o, *files_, comm, pool, silent, control);
    });
    return o.output_dir;
  }

  std::string exported(const std::string& from) {
    export_folder(*files_, from, folder_ / "export", Dtype::float32, int64_t{1} << 30);
    return folder_ / "export";
  }

  at::Tensor logits_of(const std::string& folder) {
    ThreadPool pool(2, [] { at::set_num_threads(1); });
    return test::compute_logits(SourceModel(*files_, folder), golden_.ids, pool);
  }

  double perplexity(const std::string& folder) {
    const SourceModel model(*files_, folder);
    const Windows windows = evaluation_windows({.ids = golden_.ids}, 12, 0);
    double result = 0;
    run_ranks(1, [&](Communicator& comm) {
      at::set_num_threads(1);
      ThreadPool pool(1);
      StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
      result = evaluate(model, nullptr, windows, budget, comm, *cpu_device(pool), {}).perplexity;
    });
    return result;
  }

  TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  const test::Golden golden_;
};

TEST_P(FamilyRun, BytesAreTheSameForAnyRanksAndThreads) {
  quantized("one");
  quantized("three", 3, 2);
  EXPECT_TRUE(folder_.read("one/model.safetensors") == folder_.read("three/model.safetensors"));
}

TEST_P(FamilyRun, EveryLinearOfEveryBlockIsPacked) {
  const std::string packed = quantized("packed");
  const SourceModel source(*files_, golden_folder + GetParam());
  const Inspection counted = inspect_folder(*files_, packed);
  EXPECT_EQ(counted.linears.size(),
            source.config().family->linears.size() * static_cast<size_t>(source.config().blocks));
  EXPECT_EQ(counted.linear_weights + counted.other_parameters, [&] {
    int64_t parameters = 0;
    for (const std::string& name : source.tensors().names()) {
      parameters += source.tensors().info(name).elements();
    }
    return parameters;
  }());
}

TEST_P(FamilyRun, TheExportComputesWhatThePackedFolderComputes) {
  const std::string packed = quantized("packed"), dense = exported(packed);
  EXPECT_TRUE(at::equal(logits_of(dense), logits_of(packed)));
  EXPECT_EQ(perplexity(dense), perplexity(packed));
  EXPECT_FALSE(at::equal(logits_of(packed), logits_of(golden_folder + GetParam())));
}

TEST_P(FamilyRun, WhatIsNotPackedKeepsItsBytes) {
  const std::string packed = quantized("packed");
  const TensorFolder before(*files_, golden_folder + GetParam()), after(*files_, packed);
  for (const std::string& name : before.names()) {
    if (!after.contains(name)) continue;
    std::vector<std::byte> from(before.info(name).bytes), to(after.info(name).bytes);
    before.read(name, from);
    after.read(name, to);
    EXPECT_TRUE(from == to) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FamilyRun, testing::ValuesIn(test::golden_families),
                         [](const auto& tested) { return test::test_name(tested.param); });

}  // namespace
}  // namespace bitmill
