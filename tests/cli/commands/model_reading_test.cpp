// --allow-key and --tensor-prefix, followed as the program's own refusals advise them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "data/token_text.hpp"
#include "format/config_file.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"
#include "model/tiny_model.hpp"
#include "program_run.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string gelu_model = BITMILL_SOURCE_DIR "/tests/golden/models/llama-gelu";

class ModelReadingTest : public testing::Test {
 protected:
  ModelReadingTest() {
    Tokens tokens;
    tokens.windows = 4;
    tokens.window_len = 12;
    for (int i = 0; i < 48; ++i) tokens.ids.push_back(7 * i * i % 61);
    write_token_file(*files_, windows_, tokens);
  }
  // The golden model with `prefix` before the names of its tensors, and a key more.
  std::string model(const std::string& prefix, const json& more) const {
    const TensorFolder tensors(*files_, gelu_model);
    std::vector<TensorSource> sources;
    for (const std::string& name : tensors.names()) {
      const TensorInfo& info = tensors.info(name);
      sources.push_back({prefix + name, info.dtype, info.shape, copy_of(tensors, name)});
    }
    json config = read_config_json(*files_, gelu_model);
    config.update(more);
    test::write_model(*files_, folder_ / "model", config, sources);
    return folder_ / "model";
  }
  ProgramRun eval(const std::string& model, const std::string& options = "") const {
    return run_program_in(folder_, "",
                          "eval --json --model " + model + " --corpus " + windows_ + " " + options);
  }
  // The perplexity that eval prints.
  double perplexity(const std::string& model, const std::string& options = "") const {
    const ProgramRun run = eval(model, options);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out).at("perplexity").get<double>() : 0;
  }
  // The option that the refusal of `model` says to give.
  std::string advice(const std::string& model) const {
    const ProgramRun run = eval(model);
    EXPECT_NE(run.exit_code, 0);
    std::smatch found;
    const bool names_one =
        std::regex_search(run.err, found, std::regex("give (--[a-z-]+ [^ \n]+)"));
    EXPECT_TRUE(names_one) << run.err;
    return names_one ? found[1].str() : "";
  }

  const std::unique_ptr<Files> files_ = posix_files();
  const TempFolder folder_;
  const std::string windows_ = folder_ / "windows.safetensors";
};

TEST_F(ModelReadingTest, TheAdviceOnForeignNamesMakesThemFit) {
  const double expected = perplexity(gelu_model);
  const std::string foreign = model("module.", json::object());
  EXPECT_EQ(advice(foreign), "--tensor-prefix module.");
  EXPECT_EQ(perplexity(foreign, advice(foreign)), expected);
}

TEST_F(ModelReadingTest, TheAdviceOnAnUnknownKeyHoldsForTheModelAndNeedNotBeRepeatedForItsResult) {
  const double expected = perplexity(gelu_model);
  const std::string odd = model("", {{"twist", 1}});
  EXPECT_EQ(advice(odd), "--allow-key twist");
  EXPECT_EQ(perplexity(odd, "--allow-key twist"), expected);
  const ProgramRun packed =
      run_program_in(folder_, "",
                     "quantize --model " + odd + " --output-dir " + (folder_ / "packed") +
                         " --calib " + windows_ + " --samples 2 --epochs 1 --allow-key twist");
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  perplexity(folder_ / "packed");
}

TEST_F(ModelReadingTest, AResultOfForeignNamesHasTheNamesOfTransformers) {
  const std::string foreign = model("module.", json::object());
  const ProgramRun packed = run_program_in(folder_, "",
                                           "quantize --model " + foreign + " --output-dir " +
                                               (folder_ / "packed") + " --calib " + windows_ +
                                               " --samples 2 --epochs 1 --tensor-prefix module.");
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  EXPECT_TRUE(TensorFolder(*files_, folder_ / "packed").contains("model.embed_tokens.weight"));
  perplexity(folder_ / "packed");
}

TEST_F(ModelReadingTest, AnOptionThatHitsNothingEndsWithTwo) {
  for (const char* option :
       {"--allow-key twist", "--allow-key twist,", "--tensor-prefix module."}) {
    const ProgramRun run = eval(gelu_model, option);
    EXPECT_EQ(run.exit_code, 2) << option;
    EXPECT_THAT(run.err, HasSubstr(std::string(option).substr(0, 9))) << option;
  }
}

TEST_F(ModelReadingTest, TensorsThatNobodyReadsAreSaidAloud) {
  const std::string more = model("", json::object());
  const TensorFolder tensors(*files_, more);
  std::vector<TensorSource> sources = {test::random_tensor("score.weight", {3}, 1)};
  for (const std::string& name : tensors.names()) {
    const TensorInfo& info = tensors.info(name);
    sources.push_back({name, info.dtype, info.shape, copy_of(tensors, name)});
  }
  test::write_model(*files_, folder_ / "more", read_config_json(*files_, gelu_model), sources);
  EXPECT_THAT(eval(folder_ / "more").err, HasSubstr("score.weight"));
}

}  // namespace
}  // namespace bitmill
