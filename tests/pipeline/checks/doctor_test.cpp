// Folders with many faults at once: every one of them is named in one go.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "base/error.hpp"
#include "data/token_text.hpp"
#include "model/tiny_model.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/pretended_files.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class Doctor : public testing::Test {
 protected:
  Doctor() {
    write_calibration(400);
    folder_.write("model/tokenizer.json", "{}");
    options_.model = folder_ / "model";
    options_.output_dir = folder_ / "out";
    options_.work_dir = options_.scratch_dir = folder_ / "out.work";
    options_.calib = folder_ / "calib.safetensors";
    options_.samples = 11;
    options_.seq_len = 9;
    options_.epochs = 1;
    shards(tensors_);
  }

  void write_calibration(int count) {
    Tokens tokens;
    for (int i = 0; i < count; ++i) tokens.ids.push_back(i % 31);
    write_token_file(files_, folder_ / "calib.safetensors", tokens);
  }
  // Three shards with an index.
  void shards(const std::vector<TensorSource>& tensors) {
    write_shards(files_, folder_ / "model", tensors, {{"format", "pt"}}, 7000);
    write_config();
  }
  void write_config() { test::write_config(files_, folder_ / "model", config_); }
  TensorSource& tensor(const std::string& name) {
    return *std::ranges::find(tensors_, name, &TensorSource::name);
  }

  // What the user reads.
  template <class E = FormatError>
  std::string diagnosis() {
    const auto before = files_.list(folder_.path());
    std::string text;
    try {
      check_quantize(options_, files_, 1, 1);
    } catch (const E& error) {
      text = error.what();
    }
    EXPECT_EQ(files_.list(folder_.path()), before) << "the check changed something";
    return text;
  }
  static int64_t count(const std::string& text) {
    const std::regex numbered("\n  [0-9]+\\. ");
    return std::distance(std::sregex_iterator(text.begin(), text.end(), numbered), {});
  }

  const TempFolder folder_;
  PretendedFiles files_;
  QuantizeOptions options_;
  json config_ = test::tiny_config();
  std::vector<TensorSource> tensors_ = test::tiny_tensors(config_);
};

TEST_F(Doctor, AHealthyFolderHasNothingToSay) {
  ASSERT_TRUE(files_.exists(folder_ / "model/model-00003-of-00003.safetensors"));
  EXPECT_NO_THROW(check_quantize(options_, files_, 1, 1));
}

TEST_F(Doctor, EverythingThatIsWrongIsNamedInOneGo) {
  // Tensors: one of another shape, one of another kind, one that is missing; a shard that is cut.
  tensor("model.layers.1.mlp.up_proj.weight").shape = {10, 24};
  tensor("model.layers.1.input_layernorm.weight").dtype = Dtype::int32;
  std::erase_if(tensors_, [](const auto& t) { return t.name == "model.norm.weight"; });
  shards(tensors_);
  std::filesystem::resize_file(folder_ / "model/model-00001-of-00003.safetensors", 900);
  // Beside them, in the order of the groups.
  options_.epochs = 0;
  options_.method.lr_gain = -1;
  std::filesystem::create_symlink(folder_ / "nothing", folder_ / "model/merges.txt");
  write_calibration(5);
  folder_.write("out.work/thesis.tex", "mine");
  files_.read_only = files_.resolve(folder_.path());
  files_.free = 10;

  const std::string text = diagnosis();
  EXPECT_THAT(text, HasSubstr("--epochs is 0"));
  EXPECT_THAT(text, HasSubstr("--lr-gain is -1"));
  EXPECT_THAT(text, HasSubstr("model-00001-of-00003.safetensors is truncated"));
  EXPECT_THAT(text, HasSubstr("\"model.layers.1.mlp.up_proj.weight\" has shape [10, 24]"));
  EXPECT_THAT(text, HasSubstr("\"model.layers.1.input_layernorm.weight\" is I32"));
  EXPECT_THAT(text, HasSubstr("\"model.norm.weight\" is missing"));
  EXPECT_THAT(text, HasSubstr("merges.txt"));
  EXPECT_THAT(text, HasSubstr("a text of 5 tokens is shorter than one window of 9"));
  EXPECT_THAT(text, HasSubstr("thesis.tex"));
  EXPECT_THAT(text, HasSubstr("nothing can be written"));
  EXPECT_EQ(count(text), 10) << text;
  EXPECT_THAT(text, testing::StartsWith("10 problems"));
}

TEST_F(Doctor, ProblemsAreNumberedThroughAndGroupedByPlace) {
  options_.epochs = 0;
  std::filesystem::remove(options_.calib);
  EXPECT_THAT(diagnosis(),
              MatchesRegex("2 problems; nothing was begun\n"
                           "settings\n  1\\. --epochs is 0: it must be at least 1\n"
                           "calibration .*\n  2\\. cannot open .*calib.safetensors.*"));
}

TEST_F(Doctor, ASingleProblemIsSaidInItsOwnWordsAndKind) {
  options_.epochs = 0;
  EXPECT_EQ(diagnosis<UsageError>(), "--epochs is 0: it must be at least 1");
  options_.epochs = 1;
  std::filesystem::remove(options_.calib);
  EXPECT_THAT(diagnosis<FileError>(), testing::StartsWith("cannot open"));
}

TEST_F(Doctor, OnlyWrongWordsOnTheCommandLineAreAUsageError) {
  options_.epochs = 0;
  options_.samples = 0;
  EXPECT_THAT(diagnosis<UsageError>(), HasSubstr("2 problems"));
}

TEST_F(Doctor, ShardsThatAreMissingAndAnIndexThatDisagreesAreNamedTogether) {
  std::filesystem::remove(folder_ / "model/model-00001-of-00003.safetensors");
  const std::string path = folder_ / "model/model.safetensors.index.json";
  json index = json::parse(read_text(files_, path));
  index["weight_map"]["model.stranger.weight"] = "model-00002-of-00003.safetensors";
  index["weight_map"].erase("lm_head.weight");
  replace_file(files_, path, index.dump());
  const std::string text = diagnosis();
  EXPECT_THAT(text, HasSubstr("model-00001-of-00003.safetensors is missing"));
  EXPECT_THAT(text, HasSubstr("lists tensor \"model.stranger.weight\""));
  EXPECT_THAT(text, HasSubstr("holds tensor \"lm_head.weight\", which"));
  EXPECT_THAT(text, Not(HasSubstr("embed_tokens")))
      << "what may be in the lost shard is not missing";
  EXPECT_EQ(count(text), 3) << text;
}

TEST_F(Doctor, AShardInThePlaceOfAnotherIsNamed) {
  shards(tensors_);
  std::filesystem::copy_file(folder_ / "model/model-00002-of-00003.safetensors",
                             folder_ / "model/model-00003-of-00003.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(diagnosis(), HasSubstr("model-00003-of-00003.safetensors, which does not hold it"));
}

TEST_F(Doctor, AConfigThatCannotBeReadHidesNeitherTensorsNorTokenizerNorText) {
  config_["hidden_size"] = "large";
  config_["hidden_act"] = "mish";
  write_config();
  std::filesystem::resize_file(folder_ / "model/model-00002-of-00003.safetensors", 20);
  options_.calib = folder_.write("calib.txt", "a text");
  const std::string text = diagnosis();
  EXPECT_THAT(text, HasSubstr("\"hidden_size\" must be a whole number"));
  EXPECT_THAT(text, HasSubstr("mish"));
  EXPECT_THAT(text, HasSubstr("model-00002-of-00003.safetensors is truncated"));
  EXPECT_THAT(text, HasSubstr("tokenizer.json"));
  EXPECT_EQ(count(text), 4) << text;
}

TEST_F(Doctor, ADiskTooSmallForTheSignsAloneIsNamedBesideAMissingTensor) {
  std::erase_if(tensors_, [](const auto& t) { return t.name == "model.norm.weight"; });
  shards(tensors_);
  files_.free = 10;
  EXPECT_THAT(diagnosis(),
              AllOf(HasSubstr("\"model.norm.weight\" is missing"), HasSubstr("which has 10 free")));
}

TEST_F(Doctor, AnOutputFolderInUseHidesNoOtherProblem) {
  folder_.write("out/thesis.tex", "mine");
  folder_.write("out.work/thesis.tex", "mine");
  const std::string text = diagnosis<UsageError>();
  EXPECT_THAT(text, HasSubstr("out is not empty"));
  EXPECT_THAT(text, HasSubstr("out.work holds thesis.tex"));
  EXPECT_EQ(count(text), 2) << text;
}

// A loop over all of them took hours.
TEST_F(Doctor, AConfigOfTwoBillionBlocksIsRefusedAtOnce) {
  config_["num_hidden_layers"] = 2'000'000'000;
  write_config();
  write_calibration(5);
  EXPECT_THAT(diagnosis(), AllOf(HasSubstr("model.layers.2"), HasSubstr("5 tokens")));
}

}  // namespace
}  // namespace bitmill
