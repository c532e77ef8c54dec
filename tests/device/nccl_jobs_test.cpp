// Whole jobs whose tensors travel from GPU to GPU: the same bytes on any mesh, and as through the
// host. Ranks are threads, each with a GPU of its own.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "device/device.hpp"
#include "pipeline/preprocess_job.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

// Keeps what rank 0 is told.
struct HeardQuantize : QuantizeObserver {
  void phase_begins(const std::string& text) override { heard += text + "\n"; }
  std::string heard;
};
struct HeardTune : TuneObserver {
  void phase_begins(const std::string& text) override { heard += text + "\n"; }
  std::string heard;
};

struct Shape {
  int stages, replicas;
  int ranks() const { return stages * replicas; }
};

// Whether every rank has a GPU of its own, or all share the first one, or the second.
enum class Gpus { own, shared, second };

// On the second GPU the stand-in for cublasLt prefers another algorithm, which adds up in another
// order.
class OtherChoice {
 public:
  OtherChoice() { ::setenv(name, "1:6", 1); }
  ~OtherChoice() { ::unsetenv(name); }

 private:
  static constexpr const char* name = "BITMILL_EMULATION_CUBLASLT_PREFERS";
};

class NcclJobs : public Tune {
 protected:
  void SetUp() override {
    const auto gpus = std::ssize(find_cuda_devices().devices);
    if (gpus < 4) GTEST_SKIP() << "4 GPUs are needed, and there are " << gpus;
  }

  QuantizeOptions job(const std::string& name, Dtype dtype = Dtype::float32) {
    QuantizeOptions o = options(name);
    o.backend = "cuda";
    o.dtype = dtype;
    o.batch = 4;  // at least one sample for every replica
    o.samples = 8;
    return o;
  }

  static void learn_signs(QuantizeOptions& o) {
    o.method.learned = {true, true, true};
    o.method.lr_sign = 3e-3;
    o.method.int4_clip = true;  // moments of the inputs are summed in slices, too
  }

  template <class Work>
  static void on_gpus(int ranks, Gpus gpus, Dtype dtype, const Work& work) {
    on_ranks(ranks, 1, [&](Communicator& comm, ThreadPool& pool) {
      const int shared = gpus == Gpus::second ? 1 : 0;
      const auto device =
          cuda_device({gpus == Gpus::own ? comm.rank() : shared, scalar_type(dtype)}, pool);
      work(comm, pool, *device);
    });
  }

  // Returns what rank 0 was told.
  std::string quantize_on(QuantizeOptions o, Shape shape, Gpus gpus = Gpus::own) {
    o.stages = shape.stages;
    std::string told;
    on_gpus(shape.ranks(), gpus, o.dtype,
            [&](Communicator& comm, ThreadPool& pool, const Device& device) {
              HeardQuantize heard;
              quantize(check_quantize(o, *files_, comm.size(), pool.size()), *files_, comm, device,
                       heard, control_);
              if (comm.rank() == 0) told = heard.heard;
            });
    return told;
  }

  std::string tune_on_gpus(TuneOptions o, Shape shape, Gpus gpus = Gpus::own) {
    o.stages = shape.stages;
    std::string told;
    on_gpus(shape.ranks(), gpus, o.dtype,
            [&](Communicator& comm, ThreadPool& pool, const Device& device) {
              HeardTune heard;
              tune(check_tune(o, *files_, comm.size(), pool.size()), *files_, comm, device, heard,
                   control_);
              if (comm.rank() == 0) told = heard.heard;
            });
    return told;
  }

  // Makes the next jobs leave when they could have left `times` times before.
  void leave_after(int times) {
    control_.wishes.asked = [times, left = 0]() mutable {
      return left++ == times ? "SIGTERM" : "";
    };
  }
  void stay() {
    control_.wishes.asked = [] { return ""; };
  }
};

constexpr const char* by_nccl = "tensors travel from GPU to GPU by NCCL 2.";

// Numbers from a seed that a failure names.
class Drawn {
 public:
  explicit Drawn(const char* test) : random_(seed_) {
    std::cout << test << ": seed " << seed_ << "\n";
  }
  unsigned seed() const { return seed_; }
  template <class Value>
  Value of(std::initializer_list<Value> values) {
    return *(values.begin() + random_() % values.size());
  }

 private:
  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_;
};

// Lags are E, E/4 and 1 (of 4 epochs the last two are one). With learned signs lag and mesh are
// drawn.
TEST_F(NcclJobs, EveryMeshLagAndWhatIsLearnedGivesTheSameBytes) {
  Drawn drawn("lags");
  SCOPED_TRACE(fmt::format("seed {}", drawn.seed()));
  const auto compare = [&](int lag, bool signs, std::initializer_list<Shape> shapes) {
    const auto name = [&](const std::string& mesh) {
      return fmt::format("{}-{}-{}", mesh, signs, lag);
    };
    const auto job_of = [&](const std::string& mesh) {
      QuantizeOptions o = job(name(mesh));
      if (signs) learn_signs(o);
      o.epochs = 4;
      o.lag = lag;
      return o;
    };
    quantize_on(job_of("one"), {1, 1});
    for (const Shape shape : shapes) {
      const std::string mesh = fmt::format("{}x{}", shape.stages, shape.replicas);
      EXPECT_THAT(quantize_on(job_of(mesh), shape), testing::HasSubstr(by_nccl)) << mesh;
      EXPECT_TRUE(bytes(name(mesh)) == bytes(name("one"))) << name(mesh);
    }
  };
  compare(4, false, {drawn.of({Shape{2, 1}, Shape{1, 2}, Shape{2, 2}})});
  compare(1, false, {{2, 1}, {1, 2}, {2, 2}});
  compare(drawn.of({4, 2, 1}), true, {{2, 2}, drawn.of({Shape{2, 1}, Shape{1, 2}})});
}

TEST_F(NcclJobs, FourStagesAndThreeReplicasGiveTheSameBytesInBothTypes) {
  use_blocks(4);
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const std::string type(dtype_word(dtype));
    quantize_on(job("one-" + type, dtype), {1, 1});
    for (const Shape shape : {Shape{4, 1}, Shape{1, 3}}) {
      const std::string name = fmt::format("{}x{}-{}", shape.stages, shape.replicas, type);
      quantize_on(job(name, dtype), shape);
      EXPECT_TRUE(bytes(name) == bytes("one-" + type)) << name;
    }
  }
}

// What is drawn: the mesh of each of two starts, when the first is asked to leave, the lag, the
// type, and where streams lie.
TEST_F(NcclJobs, ARunThatWasLeftGoesOnOnAnotherMeshWithTheSameBytes) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const auto draw = [&](int count) { return static_cast<int>(random() % count); };
  const std::vector<Shape> shapes = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {1, 4}};
  for (int run = 0; run < 3; ++run) {
    QuantizeOptions o =
        job(fmt::format("left-{}", run), draw(2) ? Dtype::bfloat16 : Dtype::float32);
    if (draw(2)) learn_signs(o);
    o.lag = 1 + draw(2);
    o.device_memory_limit = draw(2) ? 0 : 300000;  // some samples lie on the host
    QuantizeOptions whole = o;
    whole.output_dir = folder_ / fmt::format("whole-{}", run);
    whole.work_dir = whole.scratch_dir = whole.output_dir + ".work";
    const Shape first = shapes[static_cast<size_t>(draw(5))];
    const Shape second = shapes[static_cast<size_t>(draw(5))];
    leave_after(2 + draw(12));
    bool left = false;
    try {
      quantize_on(o, first);
    } catch (const AgreedStop&) {
      left = true;
    }
    stay();
    if (left) o.resume = Resume::required;
    quantize_on(o, second);
    quantize_on(whole, {1, 1});
    EXPECT_TRUE(bytes(fmt::format("left-{}", run)) == bytes(fmt::format("whole-{}", run)))
        << first.stages << "x" << first.replicas << ", then " << second.stages << "x"
        << second.replicas;
  }
}

TEST_F(NcclJobs, RankZeroChoosesTheAlgorithmsOfAllRanks) {
  quantize_on(job("one"), {1, 1});
  const OtherChoice other;
  quantize_on(job("alone"), {1, 1}, Gpus::second);
  if (bytes("alone") == bytes("one")) GTEST_SKIP() << "cublasLt is not the stand-in";
  for (const Shape shape : {Shape{2, 1}, Shape{1, 2}}) {
    const std::string mesh = fmt::format("{}x{}", shape.stages, shape.replicas);
    quantize_on(job(mesh), shape);
    EXPECT_TRUE(bytes(mesh) == bytes("one")) << mesh;
  }
}

TEST_F(NcclJobs, ARunGoesOnWithItsAlgorithmsAlone) {
  QuantizeOptions o = job("left");
  leave_after(4);
  EXPECT_THROW(quantize_on(o, {2, 1}), AgreedStop);
  stay();
  o.resume = Resume::required;
  {
    const OtherChoice other;
    try {
      quantize_on(o, {1, 1}, Gpus::second);
      GTEST_SKIP() << "cublasLt is not the stand-in";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(),
                  testing::ContainsRegex("numerics_class is \".*, products [0-9a-f]+\" "
                                         "there and \".*, products [0-9a-f]+\" here"));
    }
  }
  quantize_on(o, {1, 2}, Gpus::own);
  quantize_on(job("whole"), {1, 1});
  EXPECT_TRUE(bytes("left") == bytes("whole"));
}

TEST_F(NcclJobs, RanksThatShareAGpuSendThroughTheHostAndSaySo) {
  EXPECT_THAT(quantize_on(job("shared"), {2, 2}, Gpus::shared),
              testing::HasSubstr("through the host's memory: ranks 0 and 1 and 2 and 3 share one "
                                 "GPU of this host, which NCCL refuses"));
  quantize_on(job("own"), {2, 2});
  EXPECT_TRUE(bytes("own") == bytes("shared"));
}

TEST_F(NcclJobs, TuneHasTheSameBytesOnEveryMeshAndThroughTheHost) {
  Drawn drawn("tune");
  SCOPED_TRACE(fmt::format("seed {}", drawn.seed()));
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const std::string type(dtype_word(dtype));
    const auto job_of = [&](const std::string& name) {
      TuneOptions o = tuning(name + "-" + type);
      o.backend = "cuda";
      o.dtype = dtype;
      o.batch = 4;
      return o;
    };
    tune_on_gpus(job_of("one"), {1, 1});
    tune_on_gpus(job_of("host"), {2, 1}, Gpus::shared);
    EXPECT_TRUE(bytes("host-" + type) == bytes("one-" + type));
    for (const Shape shape : {Shape{2, 1}, drawn.of({Shape{1, 3}, Shape{2, 2}})}) {
      const std::string mesh = fmt::format("{}x{}", shape.stages, shape.replicas);
      EXPECT_THAT(tune_on_gpus(job_of(mesh), shape), testing::HasSubstr(by_nccl));
      EXPECT_TRUE(bytes(mesh + "-" + type) == bytes("one-" + type)) << mesh << ", " << type;
    }
  }
}

class NcclPreprocess : public Preprocess {
 protected:
  void SetUp() override {
    const auto gpus = std::ssize(find_cuda_devices().devices);
    if (gpus < 2) GTEST_SKIP() << "2 GPUs are needed, and there are " << gpus;
  }
};

TEST_F(NcclPreprocess, TwoStagesGiveTheSameBytesInBothTypes) {
  struct Heard : PreprocessObserver {
    void phase_begins(const std::string& text) override { heard += text + "\n"; }
    std::string heard;
  };
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const auto on = [&](const std::string& mesh, int stages) {
      PreprocessOptions o = adapting(fmt::format("{}-{}", mesh, dtype_word(dtype)));
      o.backend = "cuda";
      o.dtype = dtype;
      o.steps = 4;
      o.stages = stages;
      o.loss = dtype == Dtype::float32 ? TrainingLoss::cross_entropy : TrainingLoss::divergence;
      std::string told;
      on_ranks(stages, 1, [&](Communicator& comm, ThreadPool& pool) {
        const auto device = cuda_device({comm.rank(), scalar_type(dtype)}, pool);
        Heard heard;
        preprocess(check_preprocess(o, *files_, comm.size(), pool.size()), *files_, comm, *device,
                   heard, control_);
        if (comm.rank() == 0) told = heard.heard;
      });
      EXPECT_EQ(told.find(by_nccl) != std::string::npos, stages > 1) << told;
      return bytes(fmt::format("{}-{}", mesh, dtype_word(dtype)));
    };
    EXPECT_TRUE(on("two", 2) == on("one", 1)) << dtype_word(dtype);
  }
}

}  // namespace
}  // namespace bitmill
