#include "model/folder_check.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "model/opened_model.hpp"
#include "model/source_model.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using test::drop;
using test::OpenedModel;
using test::random_tensor;
using test::source_of;
using test::tiny_config;
using test::tiny_tensors;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class FolderCheckTest : public OpenedModel {};

TEST_F(FolderCheckTest, OneOfTwoThatAreNotTiedIsRefusedWithTheKeyThatTiesThem) {
  for (const char* missing : {"lm_head.weight", "model.embed_tokens.weight"}) {
    tensors_ = tiny_tensors(tiny_config());
    drop(tensors_, missing);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(missing), HasSubstr("\"tie_word_embeddings\" to true")));
  }
}

TEST_F(FolderCheckTest, AHeadOfAWrongShapeThatAloneIsStoredIsNamedOnce) {
  config_["tie_word_embeddings"] = true;
  drop(tensors_, "model.embed_tokens.weight");
  source_of(tensors_, "lm_head.weight").shape = {12, 31};
  const std::string message = refusal();
  const std::string sentence = "\"lm_head.weight\" has shape [12, 31]; config.json says [31, 12]";
  int times = 0;
  for (size_t found = message.find(sentence); found != message.npos;
       found = message.find(sentence, found + 1)) {
    ++times;
  }
  EXPECT_EQ(times, 1) << message;
}

TEST_F(FolderCheckTest, ABiasOfTheHeadIsRefusedUnlessItIsZero) {
  tensors_.push_back(random_tensor("lm_head.bias", {31}, 5));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("lm_head.bias"), HasSubstr("remove the tensor")));
  tensors_.back().produce = [](const ByteSink& sink) {
    sink(std::vector<std::byte>(31 * sizeof(float)));
  };
  EXPECT_EQ(refusal(), "accepted");
}

TEST_F(FolderCheckTest, TensorsOutsideOfTheBlocksThatNobodyReadsAreListed) {
  tensors_.push_back(random_tensor("mtp.fc.weight", {3}, 5));
  tensors_.push_back(random_tensor("score.weight", {3}, 5));
  EXPECT_THAT(open().notes(), ElementsAre(HasSubstr("mtp.fc.weight, score.weight")));
}

class ForeignNames : public FolderCheckTest,
                     public testing::WithParamInterface<std::pair<const char*, const char*>> {};

// What stands in front of the names, and in front of the head's.
TEST_P(ForeignNames, AreReadWithThePrefixThatTheRefusalNames) {
  const auto [prefix, of_head] = GetParam();
  const at::Tensor expected = open().load_block(1).linears[3];
  for (TensorSource& tensor : tensors_) {
    tensor.name = (tensor.name == "lm_head.weight" ? of_head : prefix) + tensor.name;
    if (std::string(prefix).ends_with("language_model.") && *of_head == '\0') {
      // As in models whose language model is a part: "model.language_model.layers."
      const size_t inner = tensor.name.find("language_model.model.");
      if (inner != tensor.name.npos) tensor.name.erase(inner + strlen("language_model."), 6);
    }
  }
  tensors_.push_back(random_tensor("vision_tower.layers.0.self_attn.q_proj.weight", {3}, 5));
  EXPECT_THAT(refusal(), HasSubstr(fmt::format("give --tensor-prefix {}", prefix)));

  const ModelReading reading = {{}, prefix};
  const SourceModel model(*files_, folder_.path(), reading);
  EXPECT_EQ(block_linears(model.config(), 1)[3].tensor, "model.layers.1.self_attn.o_proj.weight");
  EXPECT_TRUE(at::equal(model.load_block(1).linears[3], expected));
  EXPECT_THAT(model.notes(), ElementsAre(HasSubstr("vision_tower.layers.0")));
  EXPECT_NO_THROW(check_is_needed(reading, std::array{&model}));
}

INSTANTIATE_TEST_SUITE_P(Names, ForeignNames,
                         testing::Values(std::pair("module.", "module."),
                                         std::pair("_orig_mod.", "_orig_mod."),
                                         std::pair("base_model.model.", "base_model.model."),
                                         std::pair("language_model.", "language_model."),
                                         std::pair("model.language_model.", "")));

TEST_F(FolderCheckTest, APrefixThatNoNameBeginsWithIsAnError) {
  test::write_model(*files_, folder_.path(), config_, tensors_);
  const ModelReading reading = {{}, "module."};
  const SourceModel model(*files_, folder_.path(), reading);
  EXPECT_THROW(check_is_needed(reading, std::array{&model}), UsageError);
}

TEST_F(FolderCheckTest, NamesOfAnAdapterAndOfTorchCompileAreNamed) {
  tensors_.push_back(
      random_tensor("model.layers.0.self_attn.q_proj.lora_A.default.weight", {3}, 5));
  EXPECT_THAT(refusal(), HasSubstr("merge_and_unload"));
  tensors_.back().name = "model.layers.0._orig_mod.mlp.up_proj.weight";
  EXPECT_THAT(refusal(), HasSubstr("torch.compile"));
}

TEST_F(FolderCheckTest, NamesOfAnotherProgramAreShown) {
  int number = 0;
  for (TensorSource& tensor : tensors_) tensor.name = fmt::format("transformer.h.{}", number++);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("none of the 21 tensors"), HasSubstr("\"transformer.h"),
                               HasSubstr("\"model.embed_tokens.weight\"")));
}

TEST_F(FolderCheckTest, AnAdapterBesideTheModelIsRefused) {
  test::write_model(*files_, folder_.path(), config_, tensors_);
  replace_file(*files_, folder_.path() + "/adapter_config.json", "{}");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("adapter_config.json"), HasSubstr("merge_and_unload")));
}

TEST_F(FolderCheckTest, AnUntiedModelWithoutHeadIsRefused) {
  drop(tensors_, "lm_head.weight");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("lm_head.weight"), HasSubstr("missing")));
}

TEST_F(FolderCheckTest, TensorsThatChangeNothingAreTolerated) {
  tensors_.push_back(random_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", {3}, 5));
  tensors_.push_back(random_tensor("mtp.fc.weight", {3}, 5));
  EXPECT_EQ(refusal(), "accepted");
}

TEST_F(FolderCheckTest, TensorsOfABlockThatNobodyWouldReadAreRefusedByName) {
  tensors_.push_back(random_tensor("model.layers.0.self_attn.q_proj.bias", {24}, 5));
  tensors_.push_back(random_tensor("model.layers.1.self_attn.q_norm.weight", {6}, 5));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model.layers.0.self_attn.q_proj.bias"),
                               HasSubstr("model.layers.1.self_attn.q_norm.weight")));
}

TEST_F(FolderCheckTest, AFusedMatrixIsNamedBesideWhatIsMissing) {
  for (const char* part : {"gate_proj", "up_proj"}) {
    drop(tensors_, fmt::format("model.layers.0.mlp.{}.weight", part));
  }
  tensors_.push_back(random_tensor("model.layers.0.mlp.gate_up_proj.weight", {40, 12}, 5));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"model.layers.0.mlp.up_proj.weight\" is missing"),
                               HasSubstr("\"model.layers.0.mlp.gate_up_proj.weight\" is not"),
                               HasSubstr("fused")));
}

TEST_F(FolderCheckTest, BiasesBelongWhereTheConfigSaysSo) {
  config_["attention_bias"] = true;
  EXPECT_THAT(refusal(), HasSubstr("\"model.layers.1.self_attn.o_proj.bias\" is missing"));
}

TEST_F(FolderCheckTest, EverythingThatDoesNotFitTheConfigIsListed) {
  drop(tensors_, "model.layers.0.self_attn.k_proj.weight");
  source_of(tensors_, "model.layers.1.mlp.down_proj.weight").shape = {20, 12};
  TensorSource& norm = source_of(tensors_, "model.norm.weight");
  norm = {norm.name, Dtype::int32, {12}, norm.produce};
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"model.layers.0.self_attn.k_proj.weight\" is missing"),
                               HasSubstr("[20, 12]; config.json says [12, 20]"), HasSubstr("I32"),
                               Not(HasSubstr("q_proj"))));
}

TEST_F(FolderCheckTest, AConfigWithFarTooManyBlocksIsRefusedAtOnce) {
  config_["num_hidden_layers"] = 2'000'000'000;
  const std::string message = refusal();
  EXPECT_THAT(message, HasSubstr("model.layers.2."));
  EXPECT_LT(message.size(), 10'000U);
}

}  // namespace
}  // namespace bitmill
