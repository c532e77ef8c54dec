#include "model/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "model/family.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using test::ScratchFolder;
using test::tiny_config;
using testing::AllOf;
using testing::HasSubstr;

ModelConfig read(const json& config) {
  const ScratchFolder folder;
  const auto files = posix_files();
  test::write_config(*files, folder.path(), config);
  return read_model_config(*files, folder.path());
}

// The message with which `config` is refused as a format error.
std::string refusal(const json& config) {
  try {
    read(config);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

json with(const char* key, const json& value) {
  json config = tiny_config();
  config[key] = value;
  return config;
}

json without(const char* key) {
  json config = tiny_config();
  config.erase(key);
  return config;
}

TEST(ModelConfig, EveryFieldIsRead) {
  const ModelConfig config = read(tiny_config());
  EXPECT_EQ(config.family->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.hidden_size, 12);
  EXPECT_EQ(config.intermediate_size, 20);
  EXPECT_EQ(config.blocks, 2);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.vocab_size, 31);
  EXPECT_EQ(config.context, 64);
  EXPECT_EQ(config.norm_epsilon, 1e-5);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tied_embeddings);
}

TEST(ModelConfig, MissingKeysTakeTheDefaultsOfTransformers) {
  const ModelConfig config = read({{"architectures", {"LlamaForCausalLM"}},
                                   {"hidden_size", 16},
                                   {"intermediate_size", 20},
                                   {"num_hidden_layers", 1},
                                   {"num_attention_heads", 4},
                                   {"head_dim", nullptr},
                                   {"vocab_size", 7}});
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.context, 2048);
  EXPECT_EQ(config.norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_FALSE(config.tied_embeddings);
}

TEST(ModelConfig, RopeThetaOfRopeParametersWins) {
  const json parameters = {{"rope_theta", 500.0}, {"rope_type", "default"}};
  EXPECT_EQ(read(with("rope_parameters", parameters)).rope.theta, 500.0);
  EXPECT_EQ(read(with("rope_scaling", {{"type", "default"}})).rope.theta, 10000.0);
  EXPECT_EQ(read(with("rope_scaling", nullptr)).rope.theta, 10000.0);
}

TEST(ModelConfig, RopeScalingIsReadInItsOldAndItsNewForm) {
  const RopeConfig old = read(with("rope_scaling", {{"type", "linear"}, {"factor", 4}})).rope;
  EXPECT_EQ(old.scaling, RopeScaling::linear);
  EXPECT_EQ(old.factor, 4);
  const json llama3 = {{"rope_type", "llama3"},  {"factor", 8.0},
                       {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0},
                       {"rope_theta", 500000.0}, {"original_max_position_embeddings", 32}};
  const RopeConfig rope = read(with("rope_parameters", llama3)).rope;
  EXPECT_EQ(rope.scaling, RopeScaling::llama3);
  EXPECT_EQ(rope.theta, 500000.0);
  EXPECT_EQ(rope.high_freq_factor, 4);
  EXPECT_EQ(rope.original_context, 32);
}

TEST(ModelConfig, OfTwoRopeKeysTheOlderWinsUnlessItIsEmpty) {
  json config =
      with("rope_parameters", {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 500.0}});
  config["rope_scaling"] = json::object();
  EXPECT_EQ(read(config).rope.factor, 2);
  EXPECT_EQ(read(config).rope.theta, 500);
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(read(config).rope.factor, 4);
  EXPECT_EQ(read(config).rope.theta, 10000);  // of the file, not of the object that lost
  config.erase("rope_theta");
  EXPECT_EQ(read(config).rope.theta, 10000);
}

TEST(ModelConfig, TheOriginalContextBesideTheRopeObjectWins) {
  json config = with("rope_scaling", {{"rope_type", "llama3"},
                                      {"factor", 8.0},
                                      {"low_freq_factor", 1.0},
                                      {"high_freq_factor", 4.0},
                                      {"original_max_position_embeddings", 16}});
  EXPECT_EQ(read(config).rope.original_context, 16);
  config["original_max_position_embeddings"] = 32;
  EXPECT_EQ(read(config).rope.original_context, 32);
}

TEST(ModelConfig, YarnIsAcceptedWhereItChangesNothing) {
  const auto yarn = [](json more) {
    more["rope_type"] = "yarn";
    return with("rope_scaling", more);
  };
  EXPECT_EQ(read(yarn({{"factor", 1.0}})).rope.scaling, RopeScaling::none);
  EXPECT_EQ(refusal(yarn({{"factor", nullptr}, {"original_max_position_embeddings", 64}})),
            "accepted");
  EXPECT_THAT(refusal(yarn({{"original_max_position_embeddings", 64}})),
              HasSubstr("the \"factor\" of \"yarn\" is missing"));
  EXPECT_THAT(refusal(yarn({{"factor", nullptr}, {"original_max_position_embeddings", 16}})),
              AllOf(HasSubstr("factor of 4"), HasSubstr("\"max_position_embeddings\" to 16")));
  EXPECT_THAT(refusal(yarn({{"factor", 1.0}, {"attention_factor", 1.5}})), HasSubstr("1.5"));
}

TEST(ModelConfig, DynamicScalingChangesNothingWithinTheContext) {
  const json dynamic = {{"type", "dynamic"}, {"factor", 2.0}};
  EXPECT_EQ(read(with("rope_scaling", dynamic)).rope.scaling, RopeScaling::none);
}

TEST(ModelConfig, RopeScalingThatIsNotComputedIsRefusedByName) {
  EXPECT_THAT(refusal(with("rope_scaling", {{"rope_type", "yarn"}, {"factor", 8.0}})),
              AllOf(HasSubstr("config.json"), HasSubstr("rope_scaling"), HasSubstr("yarn")));
  EXPECT_THAT(refusal(with("rope_scaling", {{"type", "linear"}})), HasSubstr("factor"));
  EXPECT_THAT(refusal(with("rope_parameters", {{"rope_type", "llama3"}, {"factor", 8}})),
              AllOf(HasSubstr("low_freq_factor"), HasSubstr("high_freq_factor")));
  EXPECT_THAT(refusal(with("rope_parameters", {{"partial_rotary_factor", 0.5}})), HasSubstr("0.5"));
  EXPECT_THAT(refusal(with("partial_rotary_factor", 0.5)), HasSubstr("0.5"));
  EXPECT_THAT(refusal(with("rope_parameters", {{"rope_theta", -1}})), HasSubstr("-1"));
  EXPECT_THAT(refusal(with("rope_scaling", "yarn")), HasSubstr("yarn"));
  EXPECT_THAT(refusal(with("rope_parameters", {{"full_attention", json::object()}})),
              HasSubstr("full_attention"));
}

TEST(ModelConfig, FeaturesThatAreNotComputedAreRefused) {
  EXPECT_THAT(refusal(with("hidden_act", "quick_gelu")),
              AllOf(HasSubstr("quick_gelu"), HasSubstr("silu")));
  EXPECT_THAT(refusal(with("final_logit_softcapping", 30.0)), HasSubstr("final_logit_softcapping"));
  EXPECT_THAT(refusal(with("architectures", {"GPT2LMHeadModel"})),
              AllOf(HasSubstr("GPT2LMHeadModel"), HasSubstr("LlamaForCausalLM")));
  EXPECT_THAT(refusal(with("architectures", {"Gemma2ForCausalLM"})), HasSubstr("tanh"));
  EXPECT_THAT(refusal(with("quantization_config", {{"quant_method", "gptq"}})), HasSubstr("gptq"));
}

TEST(ModelConfig, AModelTypeThatContradictsTheArchitectureIsRefused) {
  EXPECT_EQ(refusal(with("model_type", "llama")), "accepted");
  EXPECT_THAT(refusal(with("model_type", "mistral")),
              AllOf(HasSubstr("\"model_type\" is \"mistral\", the type of MistralForCausalLM"),
                    HasSubstr("LlamaForCausalLM"), HasSubstr("\"llama\"")));
  EXPECT_THAT(refusal(with("model_type", "gemma")), HasSubstr("\"model_type\" is \"gemma\","));
}

TEST(ModelConfig, AModelInsideOfAnotherOneIsRefusedWithTheWayToReadIt) {
  json config = with("architectures", {"LlavaForConditionalGeneration"});
  config["text_config"] = {{"hidden_size", 12}};
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("text_config"), HasSubstr("--tensor-prefix")));
}

TEST(ModelConfig, OneFunctionHasSeveralNames) {
  for (const char* name : {"gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_accurate"}) {
    EXPECT_EQ(read(with("hidden_act", name)).activation, Activation::gelu_tanh) << name;
  }
  EXPECT_EQ(name_of(Activation::gelu_tanh), "gelu_pytorch_tanh");
}

TEST(ModelConfig, BiasesAreAsTheFileSays) {
  EXPECT_TRUE(read(with("attention_bias", true)).attention_bias);
  EXPECT_TRUE(read(with("mlp_bias", true)).mlp_bias);
  EXPECT_FALSE(read(tiny_config()).attention_bias);
}

TEST(ModelConfig, EverythingThatIsWrongIsListedAtOnce) {
  json config = with("hidden_act", "tanh");
  config["vocab_size"] = -5;
  config["rope_scaling"] = {{"type", "yarn"}};
  config.erase("intermediate_size");
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("tanh"), HasSubstr("-5"), HasSubstr("yarn"),
                                     HasSubstr("intermediate_size")));
}

class RequiredKey : public testing::TestWithParam<const char*> {};

TEST_P(RequiredKey, IsNamedWhenItIsMissingOrOfAnotherType) {
  EXPECT_THAT(refusal(without(GetParam())), HasSubstr(GetParam()));
  EXPECT_THAT(refusal(with(GetParam(), "many")), HasSubstr(GetParam()));
  EXPECT_THAT(refusal(with(GetParam(), json::object())), HasSubstr(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(ModelConfig, RequiredKey,
                         testing::Values("architectures", "hidden_size", "intermediate_size",
                                         "num_hidden_layers", "num_attention_heads", "vocab_size"));

class SizeKey : public testing::TestWithParam<const char*> {};

TEST_P(SizeKey, OutsideItsRangeIsRefused) {
  for (const json& value :
       {json(0), json(-1), json((int64_t{1} << 31) + 1), json(UINT64_MAX), json(2.5), json(true)}) {
    EXPECT_THAT(refusal(with(GetParam(), value)), AllOf(HasSubstr(GetParam()), HasSubstr("must")))
        << value;
  }
}

INSTANTIATE_TEST_SUITE_P(ModelConfig, SizeKey,
                         testing::Values("hidden_size", "intermediate_size", "num_hidden_layers",
                                         "num_attention_heads", "num_key_value_heads", "head_dim",
                                         "vocab_size", "max_position_embeddings"));

TEST(ModelConfig, SizesThatDoNotFitTogetherAreRefused) {
  EXPECT_THAT(refusal(with("num_key_value_heads", 3)), HasSubstr("num_key_value_heads"));
  EXPECT_THAT(refusal(with("head_dim", 5)), HasSubstr("head_dim"));
  json config = without("head_dim");
  config["hidden_size"] = 14;
  EXPECT_THAT(refusal(config), HasSubstr("hidden_size"));
}

TEST(ModelConfig, MatricesTooLargeToCountAreRefused) {
  const int64_t huge = int64_t{1} << 31;
  EXPECT_THAT(refusal(with("vocab_size", huge * 1)), HasSubstr("accepted"));
  json config = with("vocab_size", huge);
  config["hidden_size"] = huge;
  EXPECT_THAT(refusal(config), HasSubstr("elements"));
  config = with("num_attention_heads", huge);
  config["head_dim"] = huge;
  EXPECT_THAT(refusal(config), HasSubstr("elements"));
}

TEST(ModelConfig, NumbersThatAreNotPositiveAreRefused) {
  EXPECT_THAT(refusal(with("rms_norm_eps", 0)), HasSubstr("rms_norm_eps"));
  EXPECT_THAT(refusal(with("rope_theta", -10000.0)), HasSubstr("rope_theta"));
  EXPECT_THAT(refusal(with("rms_norm_eps", "small")), HasSubstr("rms_norm_eps"));
}

TEST(ModelConfig, AFolderWithoutConfigIsRefused) {
  const ScratchFolder folder;
  const auto files = posix_files();
  EXPECT_THROW(read_model_config(*files, folder.path()), FormatError);
  EXPECT_THROW(read_model_config(*files, folder.path() + "/nowhere"), FileError);
  EXPECT_THAT(refusal(json::array()), HasSubstr("object"));
}

TEST(Family, LinearsOfABlockHaveTheirNamesAndShapes) {
  const ModelConfig config = read(tiny_config());
  const auto linears = block_linears(config, 1);
  ASSERT_EQ(linears.size(), 7U);
  EXPECT_EQ(linears[0].tensor, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(linears[6].tensor, "model.layers.1.mlp.down_proj.weight");
  const std::vector<std::pair<int64_t, int64_t>> shapes = {{24, 12}, {12, 12}, {12, 12}, {12, 24},
                                                           {20, 12}, {20, 12}, {12, 20}};
  for (size_t i = 0; i < linears.size(); ++i) {
    EXPECT_EQ(linears[i].role, static_cast<LinearRole>(i));
    EXPECT_EQ(std::pair(linears[i].rows, linears[i].cols), shapes[i]) << linears[i].tensor;
  }
}

}  // namespace
}  // namespace bitmill
