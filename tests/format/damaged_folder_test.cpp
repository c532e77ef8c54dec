// A packed folder that is not what was written: cut anywhere, one bit of it flipped, files of two
// models mixed, or made by a newer program. Each is refused with its reason.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_model.hpp"
#include "format/packed_seal.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* config_text =
    R"({"hidden_size": 37, "rms_norm_eps": 1e-05,
        "quantization_config": {"quant_method": "ptq161", "version": 1, "bitmill": {"seed": 0}}})";
const std::string model = "/model";
const std::string weights = "/model/model.safetensors";
const std::string index_path = "/model/model.safetensors.index.json";
const std::string config_path = "/model/config.json";

// A linear and a norm; folders of two seeds differ in nothing but what is stored.
void write_folder(MemoryFiles& files, const std::string& folder, uint64_t seed,
                  int64_t max_shard_bytes = 1 << 20) {
  files.put(folder + "/tokenizer.json", "{\"tokens\": [" + std::to_string(seed) + "]}");
  auto tensors =
      packed_tensors("model.layers.0.mlp.up_proj.weight",
                     std::make_shared<const PackedLinear>(random_linear(3, 37, 8, seed).first));
  tensors.push_back(halves("model.norm.weight", {37}, seed + 1));
  write_shards(files, folder, tensors, {{"format", "pt"}}, max_shard_bytes);
  json config = json::parse(config_text);
  config["quantization_config"]["bitmill"]["seed"] = seed;
  write_sealed_config(files, folder, config);
}

// What is said against the folder; empty when it passes.
std::string refusal(MemoryFiles& files, const std::string& folder = model) {
  try {
    verify_packed_folder(files, folder, {});
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

class DamagedFolder : public testing::Test {
 protected:
  DamagedFolder() {
    write_folder(files_, model, 1);
    EXPECT_EQ(refusal(files_), "");
  }

  // The file, once shortened to each length there is.
  void cut_everywhere(const std::string& path) {
    const std::string whole = files_.get(path);
    for (size_t length = 0; length < whole.size(); ++length) {
      files_.put(path, whole.substr(0, length));
      EXPECT_NE(refusal(files_), "") << path << " cut to " << length;
    }
    files_.put(path, whole);
    EXPECT_EQ(refusal(files_), "");
  }

  // Every `step`-th bit once; 7 is one or two of every byte. `harmless` judges what is not refused.
  template <class Harmless>
  void flip_everywhere(const std::string& path, size_t step, Harmless harmless) {
    const std::string whole = files_.get(path);
    for (size_t bit = 0; bit < 8 * whole.size(); bit += step) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      files_.put(path, flipped);
      EXPECT_TRUE(refusal(files_) != "" || harmless(flipped))
          << path << ", byte " << bit / 8 << ", bit " << bit % 8;
    }
    files_.put(path, whole);
    EXPECT_EQ(refusal(files_), "");
  }
  void flip_everywhere(const std::string& path, size_t step = 1) {
    flip_everywhere(path, step, [](const std::string&) { return false; });
  }

  void edit_config(const std::string& pointer, const json& value) {
    json config = json::parse(files_.get(config_path));
    config[json::json_pointer(pointer)] = value;
    files_.put(config_path, config.dump(2) + "\n");
  }

  MemoryFiles files_;
};

TEST_F(DamagedFolder, CutAtAnyLengthIsRefused) {
  for (const char* name : {"model.safetensors", "tokenizer.json"}) {
    cut_everywhere(model + "/" + name);
  }
  // The last byte is a newline, without which it says the same.
  files_.put(config_path, files_.get(config_path).substr(0, files_.get(config_path).size() - 1));
  EXPECT_EQ(refusal(files_), "");
  cut_everywhere(config_path);
}

TEST_F(DamagedFolder, OneFlippedBitInTheTensorFileIsRefused) { flip_everywhere(weights); }

TEST_F(DamagedFolder, OneFlippedBitInTheTokenizerIsRefused) {
  flip_everywhere(model + "/tokenizer.json");
}

TEST_F(DamagedFolder, OneFlippedBitInTheConfigIsRefusedUnlessItSaysTheSame) {
  const json original = json::parse(files_.get(config_path));
  flip_everywhere(config_path, 1, [&](const std::string& flipped) {  // 1e-05 and 1E-05, say
    return json::parse(flipped, nullptr, false) == original;
  });
}

TEST_F(DamagedFolder, ShardsAndIndexAreProtectedAsWell) {
  MemoryFiles other;
  files_ = MemoryFiles();
  write_folder(files_, model, 1, 100);
  ASSERT_TRUE(files_.exists(index_path));
  flip_everywhere(index_path, 7);
  for (const std::string& name : files_.list(model)) {
    if (!name.ends_with(".safetensors")) continue;
    flip_everywhere(model + "/" + name, 7);
    cut_everywhere(model + "/" + name);
    write_folder(other, model, 2, 100);
    const std::string mine = files_.get(model + "/" + name);
    files_.put(model + "/" + name, other.get(model + "/" + name));
    EXPECT_THAT(refusal(files_), AllOf(HasSubstr(name), HasSubstr("another model's")));
    files_.put(model + "/" + name, mine);
  }
}

TEST_F(DamagedFolder, FilesOfAnotherModelOfTheSameShapeAreRefusedByName) {
  MemoryFiles other;
  write_folder(other, model, 2);
  for (const char* name : {"model.safetensors", "tokenizer.json"}) {
    const std::string path = model + "/" + name, mine = files_.get(path);
    files_.put(path, other.get(path));
    EXPECT_THAT(refusal(files_), AllOf(HasSubstr(path + " is not the file that config.json"),
                                       HasSubstr("copy the whole folder again")));
    files_.put(path, mine);
  }
  files_.put(config_path, other.get(config_path));
  EXPECT_THAT(refusal(files_), AllOf(HasSubstr(weights), HasSubstr("tokenizer.json")));
}

TEST_F(DamagedFolder, AnEditedConfigIsRefused) {
  edit_config("/rms_norm_eps", 1e-6);
  EXPECT_THAT(refusal(files_), HasSubstr("config.json was edited or damaged"));
}

TEST_F(DamagedFolder, AnEditedAccountOfHowItWasMadeIsRefused) {
  edit_config("/quantization_config/bitmill/seed", 7);
  EXPECT_THAT(refusal(files_), HasSubstr("config.json was edited or damaged"));
}

TEST_F(DamagedFolder, AConfigWithoutHashesIsRefused) {
  files_.put(config_path, config_text);
  EXPECT_THAT(refusal(files_), HasSubstr("quantization_config.hashes is missing"));
  edit_config("/quantization_config/hashes", json({{"files", json::object()}}));
  EXPECT_THAT(refusal(files_), HasSubstr("the hash of config is missing"));
}

TEST_F(DamagedFolder, ATokenizerThatIsGoneOrCameLaterIsNamed) {
  files_.remove(model + "/tokenizer.json");
  EXPECT_THAT(refusal(files_), HasSubstr("tokenizer.json is missing"));
  write_folder(files_, model, 1);
  files_.put(model + "/merges.txt", "a b");
  EXPECT_THAT(refusal(files_), AllOf(HasSubstr("merges.txt"), HasSubstr("nothing was recorded")));
}

TEST_F(DamagedFolder, ANewerVersionIsRefusedWithBothNumbers) {
  edit_config("/quantization_config/version", 2);
  EXPECT_THAT(refusal(files_), HasSubstr("version 2; this program reads version 1"));
}

TEST_F(DamagedFolder, FilesThatDecideNothingMayChange) {
  files_.put(model + "/README.md", "a model card");
  EXPECT_EQ(refusal(files_), "");
}

}  // namespace
}  // namespace bitmill
