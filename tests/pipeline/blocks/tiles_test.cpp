// Samples longer than a tile of tokens, through the whole job: tiny models elsewhere never cut a
// product.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "base/pieces.hpp"
#include "comm/thread_communicator.hpp"
#include "data/token_text.hpp"
#include "model/block_forward.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/tiny_job.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

// Two tiles, the second one short.
constexpr int64_t seq_len = 300;
static_assert(seq_len > tokens_per_tile && seq_len % tokens_per_tile != 0);

class Tiles : public testing::Test {
 protected:
  Tiles() {
    nlohmann::json config = test::tiny_config();
    config["num_hidden_layers"] = 1;
    config["max_position_embeddings"] = seq_len;
    test::write_model(*files_, folder_ / "model", config, test::tiny_tensors(config));
    Tokens tokens;
    for (int i = 0; i < 1000; ++i) tokens.ids.push_back((i * 7 + i / 5) % 31);
    write_token_file(*files_, folder_ / "calib.safetensors", tokens);
  }

  // The packed model's bytes; `ignore` as in QuantizeOptions.
  std::string quantized(const std::string& ignore, int ranks, int threads) {
    const std::string name = ignore + std::to_string(ranks) + "x" + std::to_string(threads);
    QuantizeOptions o;
    o.model = folder_ / "model";
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.calib = folder_ / "calib.safetensors";
    o.samples = 4;
    o.seq_len = seq_len;
    o.epochs = 1;
    o.batch = 2;
    o.ignore = ignore;
    o.method.lr_scale = o.method.lr_gain = 1e-2;
    run_ranks(ranks, [&](Communicator& comm) {
      ThreadPool pool(threads, [] { at::set_num_threads(1); });
      QuantizeObserver silent;
      check_and_quantize(o, *files_, comm, pool, silent, RunControl());
    });
    return folder_.read(name + "/model.safetensors");
  }

  TempFolder folder_;
  std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(Tiles, BytesAreTheSameForAnyRanksAndThreads) {
  for (const std::string ignore : {"", "up_proj"}) {
    const std::string one = quantized(ignore, 1, 1);
    for (const int ranks : {1, 2}) {
      for (const int threads : {1, 2, 3}) {
        if (ranks == 1 && threads == 1) continue;
        EXPECT_TRUE(quantized(ignore, ranks, threads) == one)
            << ranks << " ranks of " << threads << " threads, ignored: '" << ignore << "'";
      }
    }
  }
}

}  // namespace
}  // namespace bitmill
