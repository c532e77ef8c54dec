// Tuning the scales of a packed model end to end: its gradient, the same bytes on any mesh and
// after any stop, and never a worse model.

#include "pipeline/tune.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numeric>

#include "checkpoint/failing_files.hpp"
#include "eval/evaluate.hpp"
#include "format/packed_folder.hpp"
#include "method/unpack.hpp"
#include "model/block_forward.hpp"
#include "pipeline/tiny_job.hpp"
#include "pipeline/tuning_walk.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

class Tune : public TinyJob {
 protected:
  Tune() { pack(2); }

  // A packed model of so many blocks under "packed"; one linear stays as it is.
  void pack(int blocks) {
    use_blocks(blocks);
    for (const char* name : {"packed", "packed.work"}) files_->remove_tree(folder_ / name);
    QuantizeOptions o = options("packed");
    o.ignore = "layers.1.self_attn.k_proj";
    run(o);
  }

  TuneOptions tuning(const std::string& name) {
    TuneOptions o;
    o.model = folder_ / "packed";
    o.reference = folder_ / "model";
    o.output_dir = folder_ / name;
    o.work_dir = o.scratch_dir = folder_ / (name + ".work");
    o.calib = folder_ / "calib.safetensors";
    o.samples = 13;
    o.seq_len = 9;
    o.epochs = 3;
    o.rate = 1e-2;
    o.held_out = {1, 4};  // 3 of 13
    return o;
  }

  TuneResult tune_on(const TuneOptions& o, int ranks = 1, int threads = 1) {
    TuneResult result;
    run_ranks(ranks, [&](Communicator& comm) {
      at::set_num_threads(1);  // MKL counts for each thread, and this one is a rank's main thread
      ThreadPool pool(threads, [] { at::set_num_threads(1); });
      TuneObserver silent;
      const TuneResult mine = tune(o, *files_, comm, pool, silent, control_);
      if (comm.rank() == 0) result = mine;
    });
    return result;
  }

  std::string tuning_message(const TuneOptions& o, int ranks = 1) {
    try {
      tune_on(o, ranks);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  double kl_from_original(const std::string& name, const Windows& windows) {
    const SourceModel model(*files_, folder_ / name), original(*files_, folder_ / "model");
    const auto comm = self_communicator();
    ThreadPool pool(1);
    StreamBudget budget(*files_, INT64_MAX, folder_ / "scratch");
    return evaluate(model, &original, windows, budget, *comm, pool, {}).divergence->kl;
  }
};

// The whole model with factors, one window, on one rank.
class WholeModel {
 public:
  WholeModel(Files& files, const std::string& folder, const std::string& reference)
      : model_(files, folder),
        teacher_(files, reference),
        rotary_(make_rotary(model_.config(), tokens)),
        stage_(model_, {0, model_.config().blocks}, 1, rotary_, pool_),
        budget_(files, INT64_MAX, folder + ".scratch"),
        divergence_(model_, teacher_, pool_) {
    at::set_num_threads(1);
    for (int i = 0; i < tokens; ++i) ids_.push_back((i * 11 + 3) % 31);
    input_ = model_.embed(ids_);
    target_ = teacher_.embed(ids_);
    for (int64_t block = 0; block < teacher_.config().blocks; ++block) {
      target_ = dense_block_forward(teacher_.config(), teacher_.load_block(block), rotary_, target_,
                                    pool_);
    }
  }

  const LearnedLayout& layout() const { return stage_.layout(); }

  // Factors that are not 1, so that one in a wrong place shows.
  std::vector<float> some_factors() const {
    std::vector<float> factors(layout().size(), 1.0F);
    for (size_t i = 0; i < factors.size(); ++i) {
      factors[i] += 0.3F * std::sin(static_cast<float>(i));
    }
    return factors;
  }

  double run(const std::vector<float>& factors, std::vector<float>* gradient = nullptr) {
    const auto comm = self_communicator();
    MeshRank rank({1, 1}, *comm);
    const auto backend = cpu_backend();
    stage_.take(factors);
    TuningWalk walk(
        {rank, stage_, model_.config(), rotary_, *backend, &divergence_, budget_, pool_, tokens});
    SampleStream inputs(budget_, 1, tokens, 12), targets(budget_, 1, tokens, 12);
    inputs.store(0, input_);
    targets.store(0, target_);
    const SampleShare share(1, 1, 1, 0);
    std::vector<float> loss(1);
    const auto sums = walk.train(share, 0, {&inputs, &targets, 0}, loss);
    if (gradient != nullptr) *gradient = sums.at(0);
    return loss[0];
  }

  // The same by dense weights that autograd builds from factors and what is stored.
  std::vector<float> autograd_gradient(std::vector<float> factors) {
    const at::AutoGradMode grad_mode(true);
    std::vector<LearnedLinear> leaves = layout().views(factors);
    std::vector<float> gradient(factors.size(), 0.0F);
    std::vector<LearnedLinear> places = layout().views(gradient);
    torch::autograd::variable_list inputs;
    for (const LearnedSegment& segment : layout().segments()) {
      inputs.push_back((leaves[segment.linear].*member_of(segment.kind)).requires_grad_(true));
    }
    size_t next = 0;
    at::Tensor x = input_;
    for (int64_t block = 0; block < model_.config().blocks; ++block) {
      x = block_with(block, x, leaves, next);
    }
    const HeadWeights head = model_.load_head(), teacher_head = teacher_.load_head();
    const at::Tensor log_q =
        at::log_softmax(at::mm(head_input(model_.config(), head, x, pool_), head.head.t()), -1);
    const at::Tensor log_p =
        at::log_softmax(head_logits(teacher_.config(), teacher_head, target_, pool_), -1);
    const at::Tensor loss = (log_p.exp() * (log_p - log_q)).sum(-1).mean();
    const auto gradients = torch::autograd::grad({loss}, inputs);
    for (size_t i = 0; i < gradients.size(); ++i) {
      const LearnedSegment& segment = layout().segments()[i];
      (places[segment.linear].*member_of(segment.kind)).copy_(gradients[i]);
    }
    return gradient;
  }

 private:
  static constexpr int64_t tokens = 9;

  at::Tensor block_with(int64_t block, const at::Tensor& x,
                        const std::vector<LearnedLinear>& leaves, size_t& next) {
    std::vector<at::Tensor> weights;
    for (const LinearShape& shape : block_linears(model_.config(), block)) {
      if (!is_packed(model_.tensors(), shape.tensor)) {
        weights.push_back(model_.load_linear(shape));
        continue;
      }
      const PackedLinear packed =
          read_packed_linear(model_.tensors(), shape.tensor, shape.rows, shape.cols);
      const InitialLinear linear = unpack_linear(packed, pool_);
      const LearnedLinear& factor = leaves[next++];
      const at::Tensor low =
          factor.row_gain.unsqueeze(1) * (widened(packed.col_gain) * factor.col_gain) *
          ((linear.row_scale * factor.row_scale).unsqueeze(1) * linear.frozen.signs +
           linear.frozen.row_mean.unsqueeze(1));
      weights.push_back(at::tensor(dequantize(packed))
                            .view({shape.rows, shape.cols})
                            .index_copy(1, linear.frozen.low_columns, low));
    }
    return block_forward(
        model_.config(), model_.load_vectors(block), rotary_, x,
        [&](size_t i, const at::Tensor& in) { return at::mm(in, weights[i].t()); }, pool_);
  }

  ThreadPool pool_{1};
  const SourceModel model_, teacher_;
  const Rotary rotary_;
  TunedStage stage_;
  StreamBudget budget_;
  const NextTokenDivergence divergence_;
  std::vector<int32_t> ids_;
  at::Tensor input_, target_;
};

TEST_F(Tune, GradientOfTheWholeModelIsAutogradsOnDenseWeights) {
  WholeModel whole(*files_, folder_ / "packed", folder_ / "model");
  const std::vector<float> factors = whole.some_factors();
  std::vector<float> gradient;
  whole.run(factors, &gradient);
  const at::Tensor mine = at::tensor(gradient),
                   theirs = at::tensor(whole.autograd_gradient(factors));
  for (const LearnedSegment& segment : whole.layout().segments()) {
    const at::Tensor a = mine.narrow(0, segment.offset, segment.size);
    const at::Tensor b = theirs.narrow(0, segment.offset, segment.size);
    EXPECT_GT(b.norm().item<float>(), 0);
    EXPECT_LE((a - b).norm().item<float>(), 1e-4F * b.norm().item<float>() + 1e-7F)
        << "linear " << segment.linear << ", kind " << static_cast<int>(segment.kind);
  }
}

// Along the gradient of each kind of factor alone, the loss must rise by that gradient's norm.
TEST_F(Tune, GradientOfTheWholeModelIsTheSlopeOfTheLoss) {
  WholeModel whole(*files_, folder_ / "packed", folder_ / "model");
  const std::vector<float> factors = whole.some_factors();
  std::vector<float> gradient;
  whole.run(factors, &gradient);
  for (const LearnedKind kind :
       {LearnedKind::row_scale, LearnedKind::row_gain, LearnedKind::col_gain}) {
    std::vector<float> direction(gradient.size(), 0.0F);
    for (const LearnedSegment& segment : whole.layout().segments()) {
      if (segment.kind != kind) continue;
      std::copy_n(gradient.begin() + segment.offset, segment.size,
                  direction.begin() + segment.offset);
    }
    const double norm =
        std::sqrt(std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0));
    const auto loss_at = [&](double distance) {
      std::vector<float> moved = factors;
      for (size_t i = 0; i < moved.size(); ++i) {
        moved[i] += static_cast<float>(distance * direction[i] / norm);
      }
      return whole.run(moved);
    };
    const auto slope = [&](double h) { return (loss_at(h) - loss_at(-h)) / (2 * h); };
    constexpr double h = 2e-2;
    EXPECT_NEAR((4 * slope(h) - slope(2 * h)) / 3, norm, 0.01 * norm + 1e-5)
        << static_cast<int>(kind);
  }
}

TEST_F(Tune, LowersTheDivergenceAndKeepsEverythingButTheScales) {
  const TuneResult result = tune_on(tuning("tuned"));
  EXPECT_GT(result.history.best(), 0);
  EXPECT_LT(result.history.held_out_kl.back(), result.history.held_out_kl.front());
  const TensorFolder before(*files_, folder_ / "packed"), after(*files_, folder_ / "tuned");
  ASSERT_EQ(before.names(), after.names());
  int changed = 0;
  for (const std::string& name : before.names()) {
    ASSERT_EQ(before.info(name).shape, after.info(name).shape);
    std::vector<std::byte> a(before.info(name).bytes), b(after.info(name).bytes);
    before.read(name, a);
    after.read(name, b);
    const bool may =
        name.ends_with(".row_scale") || name.ends_with(".row_mean") || name.ends_with(".col_gain");
    EXPECT_TRUE(may || a == b) << name;
    if (a != b) ++changed;
  }
  EXPECT_EQ(changed, 3 * 13);  // of the linears that are packed
  EXPECT_TRUE(is_packed_folder(*files_, folder_ / "tuned"));
  const auto config = nlohmann::json::parse(folder_.read("tuned/config.json"));
  const auto& record = config["quantization_config"]["bitmill"]["tuning"];
  EXPECT_EQ(record["kept_epoch"], result.history.best());
  EXPECT_EQ(record["settings"]["batch"], 4);

  Windows windows{4, 9, {}};
  for (int i = 0; i < 36; ++i) windows.ids.push_back((i * 7 + i / 5) % 31);
  EXPECT_LT(kl_from_original("tuned", windows), kl_from_original("packed", windows));
}

// Stages x replicas, threads.
struct MeshCase {
  Mesh mesh;
  int threads;
};
constexpr std::array<MeshCase, 8> meshes = {{{{1, 1}, 3},
                                             {{1, 2}, 1},
                                             {{1, 3}, 2},
                                             {{2, 1}, 1},
                                             {{2, 2}, 2},
                                             {{3, 1}, 1},
                                             {{4, 1}, 2},
                                             {{2, 3}, 1}}};

TEST_F(Tune, BytesAreTheSameForAnyRanksStagesAndThreads) {
  pack(4);
  for (const int64_t batch : {3, 8}) {
    TuneOptions one = tuning(fmt::format("one{}", batch));
    one.batch = batch;
    const TuneResult expected = tune_on(one);
    ASSERT_GT(expected.history.best(), 0);
    for (const MeshCase& many : meshes) {
      TuneOptions o = tuning(fmt::format("{}-{}x{}", batch, many.mesh.stages, many.mesh.replicas));
      o.batch = batch;
      o.stages = many.mesh.stages;
      if (many.mesh.stages == 2) o.stream_memory = 3000;  // a few samples
      const TuneResult result = tune_on(o, many.mesh.ranks(), many.threads);
      EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes(file_name(one.output_dir)))
          << o.output_dir;
      EXPECT_EQ(result.history.train_kl, expected.history.train_kl) << o.output_dir;
      EXPECT_EQ(result.history.held_out_kl, expected.history.held_out_kl) << o.output_dir;
    }
  }
}

TEST_F(Tune, StoppedAnywhereItGoesOnOnAnotherMeshWithTheSameBytes) {
  const TuneResult whole = tune_on(tuning("whole"));
  int stops = 0;
  for (int leave_at = 0; leave_at < 14; leave_at += 2) {
    TuneOptions o = tuning(fmt::format("at{}", leave_at));
    const Mesh first = meshes[leave_at / 2 % 5].mesh;
    const Mesh second = meshes[(leave_at / 2 + 3) % 5].mesh;
    // Counted over all ranks: every one of them asks.
    std::atomic<int> left = leave_at * first.ranks();
    control_.wishes.asked = [&left] { return left-- <= 0 ? "SIGTERM" : ""; };
    o.stages = first.stages;
    try {
      tune_on(o, first.ranks());
    } catch (const AgreedStop& stop) {
      EXPECT_THAT(stop.what(), HasSubstr("SIGTERM"));
      ++stops;
    }
    control_.wishes.asked = [] { return ""; };
    o.stages = second.stages;
    const TuneResult result = tune_on(o, second.ranks());
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << leave_at;
    if (result.already_done) continue;
    EXPECT_EQ(result.history.train_kl, whole.history.train_kl) << leave_at;
    EXPECT_EQ(result.history.held_out_kl, whole.history.held_out_kl) << leave_at;
  }
  EXPECT_GE(stops, 5);
}

// Once as for a process that died there, once, at every third, as for one operation that failed.
TEST_F(Tune, FailedAtAnyFileOperationItGivesTheSameBytesAfterwards) {
  control_.heartbeat = false;
  control_.claim_timing = {std::chrono::milliseconds(0), std::chrono::milliseconds(0)};
  const auto short_tuning = [&](const std::string& name) {
    TuneOptions o = tuning(name);
    o.samples = 4;
    o.epochs = 2;
    o.batch = 2;
    return o;
  };
  tune_on(short_tuning("whole"));
  for (const bool for_good : {true, false}) {
    int operation = 0;
    for (bool failed = true; failed; operation += for_good ? 1 : 3) {
      const TuneOptions o =
          short_tuning(fmt::format("{}{}", for_good ? "crash" : "error", operation));
      FailingFiles failing(operation, for_good);
      try {
        const auto comm = self_communicator();
        ThreadPool pool(1);
        TuneObserver silent;
        tune(o, failing, *comm, pool, silent, control_);
      } catch (const Error&) {
      }
      failed = failing.failed();
      tune_on(o);
      ASSERT_TRUE(bytes(file_name(o.output_dir)) == bytes("whole")) << "operation " << operation;
    }
    EXPECT_GT(operation, 40);
  }
}

TEST_F(Tune, WhereNothingIsGainedTheGivenModelComesBackAfterTwoEpochs) {
  TuneOptions o = tuning("tuned");
  o.rate = 3;  // every factor is thrown about
  o.epochs = 9;
  const TuneResult result = tune_on(o);
  EXPECT_EQ(result.history.best(), 0);
  EXPECT_EQ(result.history.epochs(), 2);
  EXPECT_TRUE(bytes("tuned") == bytes("packed"));
}

TEST_F(Tune, TheEpochThatIsKeptIsTheBestOne) {
  TuneOptions o = tuning("tuned");
  o.rate = 0.15;
  o.epochs = 8;
  const TuneResult result = tune_on(o);
  const auto& kl = result.history.held_out_kl;
  EXPECT_EQ(kl[result.history.best()], *std::ranges::min_element(kl));
}

TEST_F(Tune, AFinishedResultIsVerifiedAndNotMadeAgain) {
  const TuneOptions o = tuning("tuned");
  tune_on(o);
  EXPECT_TRUE(tune_on(o).already_done);
  TuneOptions other = o;
  other.epochs = 2;
  EXPECT_THAT(tuning_message(other), HasSubstr("epochs is 3 there and 2 here"));
}

TEST_F(Tune, WhatCannotBeTunedIsRefused) {
  const auto expect_refusal = [&](const auto& change, const char* words, int ranks = 1) {
    TuneOptions o = tuning("r");
    change(o);
    EXPECT_THAT(tuning_message(o, ranks), HasSubstr(words));
    EXPECT_FALSE(files_->exists(folder_ / "r"));
    EXPECT_FALSE(files_->exists(folder_ / "r.work"));
  };
  expect_refusal([&](TuneOptions& o) { o.model = o.reference; }, "is not packed");
  expect_refusal([&](TuneOptions& o) { o.reference = o.model; }, "is packed");
  auto other = config_;
  other["intermediate_size"] = 24;
  test::write_model(*files_, folder_ / "other", other, test::tiny_tensors(other));
  expect_refusal([&](TuneOptions& o) { o.reference = folder_ / "other"; },
                 "the intermediate size is 24 there and 20 here");
  expect_refusal(
      [&](TuneOptions& o) {
        o.seq_len = 60;
        o.calib = folder_ / "short.safetensors";
        Tokens tokens;
        tokens.ids.assign(20, 1);
        write_token_file(*files_, o.calib, tokens);
      },
      "20 tokens");
  expect_refusal([&](TuneOptions& o) { o.batch = 11; }, "--batch 11 is more than the 10 windows");
  expect_refusal([&](TuneOptions& o) { o.held_out = {0, 1}; }, "--held-out is 0");
  expect_refusal([&](TuneOptions& o) { o.stages = 2; }, "--stages is 2", 3);
  expect_refusal([&](TuneOptions& o) { o.stages = 3; }, "--stages is 3", 3);
  expect_refusal([&](TuneOptions& o) { o.rate = 0; }, "--lr is 0");
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.model + "/work"; }, "lies in --model");
  expect_refusal([&](TuneOptions& o) { o.work_dir = o.output_dir; }, "lies in --output-dir");
  folder_.write("full/something", "x");
  expect_refusal([&](TuneOptions& o) { o.output_dir = folder_ / "full"; }, "is not empty");
}

}  // namespace
}  // namespace bitmill
