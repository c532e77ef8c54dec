// What the families' config.json files mean where they differ from LLaMA's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "model/family.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

ModelConfig read_family(const json& config) {
  const test::ScratchFolder folder;
  const auto files = posix_files();
  test::write_config(*files, folder.path(), config);
  return read_model_config(*files, folder.path());
}

// The sizes that every file has, and nothing else.
json sizes_of(const char* architecture) {
  return {{"architectures", {architecture}}, {"hidden_size", 64},         {"intermediate_size", 20},
          {"num_hidden_layers", 2},          {"num_attention_heads", 32}, {"vocab_size", 7}};
}

json opt_sizes() {
  json config = sizes_of("OPTForCausalLM");
  config.erase("intermediate_size");
  config["ffn_dim"] = 20;
  return config;
}

std::string sequence_refusal(const ModelConfig& config, int64_t seq_len) {
  try {
    check_sequence_length(config, "the-folder", seq_len);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(FamilyConfig, MissingKeysTakeEachFamilysOwnDefaults) {
  const ModelConfig mistral = read_family(sizes_of("MistralForCausalLM"));
  EXPECT_EQ(mistral.kv_heads, 8);
  EXPECT_EQ(mistral.head_dim, 2);
  EXPECT_EQ(mistral.context, 131072);
  EXPECT_EQ(mistral.window, 4096);
  const ModelConfig qwen2 = read_family(sizes_of("Qwen2ForCausalLM"));
  EXPECT_EQ(qwen2.kv_heads, 32);
  EXPECT_EQ(qwen2.context, 32768);
  EXPECT_EQ(qwen2.window, 0);
  const ModelConfig qwen3 = read_family(sizes_of("Qwen3ForCausalLM"));
  EXPECT_EQ(qwen3.head_dim, 128);
  EXPECT_FALSE(qwen3.tied_embeddings);
  const ModelConfig opt = read_family(opt_sizes());
  EXPECT_EQ(opt.embedding_size, 64);
  EXPECT_EQ(opt.context, 2048);
  EXPECT_EQ(opt.norm_epsilon, 1e-5);
  EXPECT_EQ(opt.activation, Activation::relu);
  EXPECT_TRUE(opt.attention_bias && opt.mlp_bias && opt.norm_first && opt.final_norm);
  EXPECT_TRUE(opt.tied_embeddings);
}

TEST(FamilyConfig, NullGroupsMeanOneKeyPerQuery) {
  json config = sizes_of("MistralForCausalLM");
  config["num_key_value_heads"] = nullptr;
  EXPECT_EQ(read_family(config).kv_heads, 32);
}

TEST(FamilyConfig, ASlidingWindowIsRefusedWhereItWouldMatterAndOnlyThere) {
  json config = sizes_of("MistralForCausalLM");
  config["sliding_window"] = 100;
  const ModelConfig windowed = read_family(config);
  EXPECT_EQ(longest_sequence(windowed), 100);
  EXPECT_EQ(sequence_refusal(windowed, 100), "accepted");
  EXPECT_THAT(sequence_refusal(windowed, 101),
              AllOf(HasSubstr("sliding window"), HasSubstr("101"), HasSubstr("the-folder"),
                    HasSubstr("--seq-len 100")));
  EXPECT_THAT(sequence_refusal(windowed, 200'000), HasSubstr("context"));
  config["sliding_window"] = nullptr;
  EXPECT_EQ(sequence_refusal(read_family(config), 131072), "accepted");
}

TEST(FamilyConfig, QwensWindowCountsWhereItIsUsedInSomeBlock) {
  json config = sizes_of("Qwen2ForCausalLM");
  config["sliding_window"] = 100;
  EXPECT_EQ(read_family(config).window, 0);
  config["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_THROW(read_family(config), FormatError);  // and "use_sliding_window" is not there
  config["layer_types"] = {"chunked_attention"};
  EXPECT_THROW(read_family(config), FormatError);
  config.erase("layer_types");
  config["use_sliding_window"] = true;
  EXPECT_EQ(read_family(config).window, 0);  // from block 28 on, and there are 2
  config["max_window_layers"] = 1;
  EXPECT_EQ(read_family(config).window, 100);
  config["layer_types"] = {"full_attention", "full_attention"};
  EXPECT_EQ(read_family(config).window, 0);
  config["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(read_family(config).window, 100);
}

TEST(FamilyConfig, EveryBlockHasTheWindowThatItsConfigGivesIt) {
  json config = sizes_of("MistralForCausalLM");
  config["sliding_window"] = 100;
  EXPECT_EQ(window_of(read_family(config), 0), 100);
  EXPECT_EQ(window_of(read_family(config), 1), 100);
  config = sizes_of("Qwen2ForCausalLM");
  config["sliding_window"] = 100;
  EXPECT_EQ(window_of(read_family(config), 1), 0);
  config["use_sliding_window"] = true;
  config["max_window_layers"] = 1;
  EXPECT_EQ(window_of(read_family(config), 0), 0);
  EXPECT_EQ(window_of(read_family(config), 1), 100);
  config["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_EQ(window_of(read_family(config), 0), 100);
  EXPECT_EQ(window_of(read_family(config), 1), 0);
  config["layer_types"] = {"sliding_attention"};
  EXPECT_THROW(read_family(config), FormatError);
}

TEST(FamilyConfig, AnOptWithItsNormsAfterTheSumsHasNoFinalOne) {
  json config = opt_sizes();
  config["do_layer_norm_before"] = false;
  EXPECT_FALSE(read_family(config).final_norm);
  config["do_layer_norm_before"] = true;
  config["_remove_final_layer_norm"] = true;
  EXPECT_FALSE(read_family(config).final_norm);
  EXPECT_TRUE(read_family(config).norm_first);
}

TEST(FamilyConfig, OptHasSixLinearsABlockAndTensorsOfItsOwn) {
  json config = opt_sizes();
  config["word_embed_proj_dim"] = 16;
  const ModelConfig opt = read_family(config);
  const auto linears = block_linears(opt, 1);
  ASSERT_EQ(linears.size(), 6U);
  EXPECT_EQ(linears[4].tensor, "model.decoder.layers.1.fc1.weight");
  EXPECT_EQ(linears[4].rows, 20);
  EXPECT_EQ(opt.family->position(LinearRole::gate), -1);
  EXPECT_EQ(opt.family->position(LinearRole::down), 5);
  std::vector<std::string> outer;
  for (const TensorShape& tensor : outer_tensors(opt)) outer.push_back(tensor.name);
  EXPECT_THAT(outer,
              testing::ElementsAre(
                  "model.decoder.embed_tokens.weight", "model.decoder.embed_positions.weight",
                  "model.decoder.project_in.weight", "model.decoder.project_out.weight",
                  "model.decoder.final_layer_norm.weight", "model.decoder.final_layer_norm.bias"));
  EXPECT_EQ(block_vectors(opt, 0).size(), 2 * 2 + 6U);
  EXPECT_EQ(outer_tensors(opt)[1].shape, (std::vector<int64_t>{2050, 64}));
}

}  // namespace
}  // namespace bitmill
