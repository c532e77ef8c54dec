// `preprocess` against the same stage in plain PyTorch and transformers: restorative_lora.py.

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "data/training_corpus.hpp"
#include "format/export_folder.hpp"
#include "format/safetensors_writer.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/preprocess_job.hpp"

namespace bitmill {
namespace {

const std::string source_dir = BITMILL_SOURCE_DIR;

// The output of a command, without its last newlines.
std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  ::pclose(pipe);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

// A Python with torch and transformers, as tests/python/run_tests.py finds it.
std::string python_with_transformers() {
  const char* given = std::getenv("BITMILL_FIELD_PYTHON");
  const std::string python =
      given != nullptr ? given : output_of(source_dir + "/launch/setup.sh --print-python 2>&1");
  const std::string imports = " -c 'import torch, transformers, safetensors; print(1)' 2>/dev/null";
  return !python.empty() && output_of("'" + python + "'" + imports) == "1" ? python : "";
}

TensorSource source_of(const std::string& name, const at::Tensor& values) {
  const at::Tensor kept = values.contiguous();
  return {name, Dtype::float32, kept.sizes().vec(),
          [kept](const ByteSink& sink) { sink(bytes_of(kept)); }};
}

at::Tensor read_floats(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& info = file.info(name);
  const at::Tensor values = at::empty(info.shape);
  file.read(info, bytes_of(values));
  return values;
}

class StepLosses : public PreprocessObserver {
 public:
  void step_done(const Step& step) override { losses.push_back(step.loss); }
  std::vector<double> losses;
};

class RestorativeLora : public Preprocess {
 protected:
  // The ids of every step, and the first A of every adapter.
  void write_inputs(const PreprocessOptions& o) {
    const CheckedPreprocess checked = check_preprocess(o, *files_, 1, 1);
    const CorpusOptions corpus = corpus_options(o, checked.forecast, checked.original.config());
    prepare_corpus(*files_, corpus);
    const TrainingCorpus text(*files_, corpus);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < o.steps * o.batch; ++i) {
      const std::vector<int32_t> one = text.sequence(i);
      ids.insert(ids.end(), one.begin(), one.end());
    }
    std::vector<TensorSource> tensors = {
        {"ids", Dtype::int32, {o.steps, o.batch, o.seq_len}, [&ids](const ByteSink& sink) {
           sink(std::as_bytes(std::span(ids)));
         }}};
    ThreadPool pool(1);
    const auto device = cpu_device(pool);
    const Rotary rotary;
    for (int64_t block = 0; block < checked.forecast.blocks; ++block) {
      const LoraBlock lora(checked.base, checked.original, block, o.lora, rotary, *device);
      const auto views = lora.layout().views(lora.first());
      size_t next = 0;
      for (int64_t role = 0; role < lora.linears(); ++role) {
        const LinearShape& shape = lora.shape(static_cast<size_t>(role));
        if (!o.lora.targets.contains(shape.role)) continue;
        tensors.push_back(source_of(shape.tensor + ".lora_a", views[next++][part::lora_a]));
      }
    }
    write_safetensors(*files_, folder_ / "inputs.safetensors", tensors,
                      {{"format", "pt"},
                       {"rank", fmt::to_string(o.lora.rank)},
                       {"alpha", fmt::to_string(o.lora.alpha)},
                       {"lr", fmt::to_string(o.lora.rate)},
                       {"warmup_steps", fmt::to_string(checked.forecast.warmup_steps)}});
  }
};

TEST_F(RestorativeLora, LossesAndTheChangeOfTheWeightsAreThoseOfPlainPyTorch) {
  const std::string python = python_with_transformers();
  if (python.empty()) GTEST_SKIP() << "no Python with torch and transformers";
  PreprocessOptions o = adapting("merged");
  o.steps = 200;
  o.lora.dropout = 0;
  o.lora.rate = 5e-3;
  write_inputs(o);
  export_folder(*files_, folder_ / "packed", folder_ / "base", Dtype::float32, 1 << 30);
  const std::string command = fmt::format(
      "'{}' '{}/tests/equivalence/restorative_lora.py' '{}' '{}' '{}' 2>&1", python, source_dir,
      folder_ / "base", folder_ / "inputs.safetensors", folder_ / "result.safetensors");
  const std::string said = output_of(command);
  ASSERT_TRUE(files_->exists(folder_ / "result.safetensors")) << command << "\n" << said;
  StepLosses mine;
  adapt_heard(o, mine);

  const SafetensorsFile theirs(*files_, folder_ / "result.safetensors");
  const at::Tensor losses = read_floats(theirs, "losses");
  ASSERT_EQ(mine.losses.size(), 200);
  EXPECT_LT(mine.losses.back(), 0.9 * mine.losses.front());
  for (int64_t step = 0; step < 200; ++step) {
    const double loss = losses[step].item<double>();
    EXPECT_NEAR(mine.losses[static_cast<size_t>(step)], loss, 0.01 * loss) << "step " << step;
  }
  const SourceModel merged(*files_, folder_ / "merged"), base(*files_, folder_ / "packed");
  int compared = 0;
  for (int64_t block = 0; block < base.config().blocks; ++block) {
    for (const LinearShape& shape : block_linears(base.config(), block)) {
      if (shape.role == LinearRole::attention_output) continue;
      const at::Tensor change = merged.load_linear(shape) - base.load_linear(shape);
      const at::Tensor expected = read_floats(theirs, shape.tensor + ".change");
      EXPECT_LT((change - expected).norm().item<float>(), 0.03F * expected.norm().item<float>())
          << shape.tensor;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 12);
}

}  // namespace
}  // namespace bitmill
