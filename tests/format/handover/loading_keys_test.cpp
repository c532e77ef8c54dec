#include "format/handover/loading_keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

json packed_config_of(json keys) {
  keys["quantization_config"] = {{"bitmill", {{"seed", 0}}}};
  return keys;
}

TEST(LoadingKeys, TheMapNamesAClassOfTheFileThatIsEmbedded) {
  json config = packed_config_of({{"model_type", "llama"}});
  add_loading_keys(config);
  EXPECT_EQ(config["auto_map"],
            (json{{"AutoModelForCausalLM", "modeling_bitmill.PackedForCausalLM"}}));
  EXPECT_EQ(python_file_name, "modeling_bitmill.py");
  EXPECT_THAT(std::string(embedded_python_file()), HasSubstr("\nclass PackedForCausalLM:"));
}

// transformers takes a name with one of these endings for a file, and looks for it.
TEST(LoadingKeys, TheLockIsNoNameOfATensorFileAndSaysWhatToDo) {
  json config = packed_config_of({});
  add_loading_keys(config);
  const auto lock = config["transformers_weights"].get<std::string>();
  EXPECT_THAT(lock, Not(EndsWith(".safetensors")));
  EXPECT_THAT(lock, Not(EndsWith(".safetensors.index.json")));
  EXPECT_THAT(lock, HasSubstr("packed by bitmill"));
  EXPECT_THAT(lock, HasSubstr("trust_remote_code=True"));
}

TEST(LoadingKeys, RemovingMakesOfConfigWhatItWas) {
  for (const json& keys :
       {json{{"model_type", "llama"}},
        json{{"auto_map", {{"AutoModelForCausalLM", "modeling_x.X"}}}},
        json{{"auto_map", {{"AutoTokenizer", {"tokenization_x.X", nullptr}}}}},
        json{{"auto_map", "odd"}, {"transformers_weights", "mine.safetensors"}}}) {
    const json before = packed_config_of(keys);
    json config = before;
    add_loading_keys(config);
    if (keys.contains("transformers_weights")) config["transformers_weights"] = "mine.safetensors";
    remove_loading_keys(config);
    EXPECT_EQ(config, before) << keys;
  }
}

TEST(LoadingKeys, AddingTwiceIsAddingOnce) {
  json config = packed_config_of({{"auto_map", {{"AutoModelForCausalLM", "modeling_x.X"}}}});
  add_loading_keys(config);
  const json once = config;
  add_loading_keys(config);
  EXPECT_EQ(config, once);
  EXPECT_EQ(config["quantization_config"]["bitmill"]["source_auto_map"]["AutoModelForCausalLM"],
            "modeling_x.X");
}

TEST(LoadingKeys, KeysOfOthersAreLeftAlone) {
  const json before = {{"auto_map", {{"AutoModelForCausalLM", "modeling_x.X"}}},
                       {"transformers_weights", "other.safetensors"}};
  json config = before;
  remove_loading_keys(config);
  EXPECT_EQ(config, before);
}

// The beginning is frozen in FORMAT.md, the rest of the sentence is not.
TEST(LoadingKeys, TheLockOfAnotherVersionIsRemovedToo) {
  const json before = packed_config_of({{"model_type", "llama"}});
  json config = before;
  add_loading_keys(config);
  config["transformers_weights"] = "these weights are packed by bitmill, in other words";
  remove_loading_keys(config);
  EXPECT_EQ(config, before);
}

TEST(LoadingKeys, AKeyThatIsNoTextIsLeftAlone) {
  for (const json& value : {json(), json(7), json{"these weights are packed by bitmill"}}) {
    const json before = packed_config_of({{"transformers_weights", value}});
    json config = before;
    remove_loading_keys(config);
    EXPECT_EQ(config, before) << value;
  }
}

TEST(LoadingKeys, TheFileIsWrittenAsItIs) {
  const TempFolder folder;
  write_python_file(*posix_files(), folder.path());
  EXPECT_EQ(folder.read("modeling_bitmill.py"), embedded_python_file());
}

}  // namespace
}  // namespace bitmill
