// Keys of config.json that the reading does not ask for.

#include "model/config_keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "model/config.hpp"
#include "model/source_model.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

ModelConfig read_keys(const json& config, const ModelReading& reading = {}) {
  const test::ScratchFolder folder;
  const auto files = posix_files();
  test::write_config(*files, folder.path(), config);
  return read_model_config(*files, folder.path(), reading);
}

std::string keys_refusal(const json& config, const ModelReading& reading = {}) {
  try {
    read_keys(config, reading);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

json with_key(const char* key, const json& value) {
  json config = test::tiny_config();
  config[key] = value;
  return config;
}

std::string needless_refusal(const ModelReading& reading, const json& config) {
  try {
    check_is_needed(reading, read_keys(config, reading));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "needed";
}

TEST(ConfigKeys, AKeyThatNobodyKnowsIsRefusedWithTheOptionThatAllowsIt) {
  EXPECT_THAT(keys_refusal(with_key("twist", 3)),
              AllOf(HasSubstr("\"twist\" (3)"), HasSubstr("--allow-key twist")));
  EXPECT_THAT(keys_refusal(with_key("twist", nullptr)), HasSubstr("--allow-key twist"));
}

TEST(ConfigKeys, AKeyThatTheUserAllowsIsAcceptedAndRemembered) {
  const ModelConfig config = read_keys(with_key("twist", 3), {{"twist"}, ""});
  EXPECT_THAT(config.allowed_keys, ElementsAre("twist"));
  EXPECT_EQ(needless_refusal({{"twist"}, ""}, with_key("twist", 3)), "needed");
}

TEST(ConfigKeys, AnAllowedKeyThatIsNotNeededIsAnError) {
  EXPECT_THAT(needless_refusal({{"twsit"}, ""}, test::tiny_config()),
              AllOf(HasSubstr("--allow-key twsit"), HasSubstr("no such key")));
  EXPECT_THAT(needless_refusal({{"dropout"}, ""}, with_key("dropout", 0.1)),
              AllOf(HasSubstr("changes nothing"), HasSubstr("trained")));
  EXPECT_THAT(needless_refusal({{"hidden_size"}, ""}, test::tiny_config()), HasSubstr("reads it"));
}

TEST(ConfigKeys, AKeyThatIsKnownToChangeTheResultCannotBeAllowed) {
  EXPECT_THAT(keys_refusal(with_key("is_causal", false), {{"is_causal"}, ""}),
              AllOf(HasSubstr("\"is_causal\" is false"), HasSubstr("later positions"),
                    HasSubstr("set it to true")));
}

TEST(ConfigKeys, KeysThatBindAreRefusedUnlessTheirValueChangesNothing) {
  struct Case {
    const char* key;
    json fine, not_fine;
  };
  for (const Case& tried : std::initializer_list<Case>{
           {"is_causal", true, nullptr},
           {"per_layer_config", json::object(), {{"1", {{"num_attention_heads", 2}}}}},
           {"pruned_heads", json::object(), {{"0", {1}}}},
           {"final_logit_softcapping", nullptr, 30.0},
           {"logit_scale", 1, 0.5},
           {"embedding_multiplier", 1.0, 12},
           {"clip_qkv", nullptr, 8},
           {"use_mrope", false, true},
           {"rope_interleaved", false, true},
           {"num_experts", 0, 8},
           {"is_encoder_decoder", false, true},
           {"sliding_window", nullptr, 16},
           {"text_config", nullptr, {{"hidden_size", 12}}},
           {"layer_types", {"full_attention"}, {"full_attention", "sliding_attention"}}}) {
    EXPECT_EQ(keys_refusal(with_key(tried.key, tried.fine)), "accepted") << tried.key;
    EXPECT_THAT(keys_refusal(with_key(tried.key, tried.not_fine)),
                AllOf(HasSubstr(tried.key), Not(HasSubstr("--allow-key"))))
        << tried.key;
  }
}

TEST(ConfigKeys, CodeOfTheModelsOwnIsRefusedAndCanBeAllowed) {
  const json config = with_key("auto_map", {{"AutoModelForCausalLM", "modeling_x.XForCausalLM"}});
  EXPECT_THAT(keys_refusal(config), AllOf(HasSubstr("Python code"), HasSubstr("modeling_x"),
                                          HasSubstr("--allow-key auto_map")));
  EXPECT_EQ(keys_refusal(config, {{"auto_map"}, ""}), "accepted");
}

TEST(ConfigKeys, KeysInsideOfTheRopeObjectAreHeldToTheSame) {
  const json config = with_key("rope_scaling", {{"type", "linear"}, {"factor", 2}, {"twist", 1}});
  EXPECT_THAT(keys_refusal(config), HasSubstr("--allow-key rope_scaling.twist"));
  const ModelReading allowing = {{"rope_scaling.twist"}, ""};
  EXPECT_EQ(keys_refusal(config, allowing), "accepted");
  EXPECT_EQ(needless_refusal(allowing, config), "needed");
  EXPECT_EQ(keys_refusal(with_key("rope_scaling", {{"type", "default"}, {"beta_fast", 32}})),
            "accepted");
}

TEST(ConfigKeys, WhatWasAllowedWhenAFolderWasPackedIsAllowedInIt) {
  json config = with_key("twist", 3);
  config["quantization_config"] = {
      {"quant_method", "ptq161"}, {"version", 1}, {"bitmill", {{"allowed_keys", {"twist"}}}}};
  EXPECT_EQ(keys_refusal(config), "accepted");
  config["quantization_config"]["bitmill"]["allowed_keys"] = 7;
  EXPECT_THAT(keys_refusal(config), HasSubstr("allowed_keys must be a list"));
}

TEST(ConfigKeys, AFileOfAThousandUnknownKeysGivesAShortMessage) {
  json config = test::tiny_config();
  for (int i = 0; i < 1000; ++i) config["key" + std::to_string(i)] = i;
  const std::string message = keys_refusal(config);
  EXPECT_THAT(message, HasSubstr("and 980 more keys"));
  EXPECT_LT(message.size(), 10'000U);
}

TEST(ConfigKeys, OnlyKeysThatChangeNothingHaveAReason) {
  EXPECT_THAT(why_neutral("unsloth_version"), HasSubstr("where the model came from"));
  EXPECT_THAT(why_neutral("pretraining_tp"), HasSubstr("how a program runs"));
  EXPECT_THAT(why_neutral("is_causal"), IsEmpty());
  EXPECT_THAT(why_neutral("hidden_size"), IsEmpty());
}

// tests/golden/models/published_configs.json: files made after published ones, and whether they are
// computed.
TEST(ConfigKeys, PublishedConfigsAreReadOrRefusedForTheirReason) {
  const std::string path = BITMILL_SOURCE_DIR "/tests/golden/models/published_configs.json";
  const json published = json::parse(read_text(*posix_files(), path));
  ASSERT_GT(published.size(), 20U);
  for (const json& one : published) {
    const std::string expected = one.value("refused", "accepted");
    EXPECT_THAT(keys_refusal(one.at("config")), HasSubstr(expected)) << one.at("name");
  }
}

}  // namespace
}  // namespace bitmill
