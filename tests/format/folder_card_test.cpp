#include "format/folder_card.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "format/companions.hpp"
#include "format/export_folder.hpp"
#include "format/handover/loading_keys.hpp"
#include "format/inspection.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_model.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class FolderCard : public ::testing::Test {
 protected:
  const PackedModel model_;
  const TempFolder work_;
  const std::string folder_ = model_.folder.path();
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(FolderCard, APackedFolderGetsCardAndFileAndStillVerifies) {
  model_.folder.write("README.md", "---\nlicense: mit\n---\n");
  complete_packed_folder(*files_, folder_);
  const double bits = inspect_folder(*files_, folder_).bits_per_weight();
  EXPECT_THAT(model_.folder.read("README.md"),
              AllOf(HasSubstr("license: mit"), HasSubstr(fmt::format("{:.4f}", bits))));
  EXPECT_EQ(model_.folder.read("SOURCE_README.md"), "---\nlicense: mit\n---\n");
  EXPECT_EQ(model_.folder.read(std::string(python_file_name)), embedded_python_file());
  verify_packed_folder(*files_, folder_, {});
}

TEST_F(FolderCard, APreprocessedFolderKeepsALicenceOfItsOwnName) {
  model_.folder.write("README.md",
                      "---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\n---\n");
  complete_preprocessed_folder(*files_, folder_, json::object());
  EXPECT_THAT(model_.folder.read("README.md"),
              HasSubstr("license: other\nlicense_name: llama3\nlicense_link: LICENSE\n"));
}

TEST_F(FolderCard, DoneTwiceItIsTheSame) {
  model_.folder.write("README.md", "the source's");
  complete_packed_folder(*files_, folder_);
  const std::string card = model_.folder.read("README.md");
  complete_packed_folder(*files_, folder_);
  EXPECT_EQ(model_.folder.read("README.md"), card);
  EXPECT_EQ(model_.folder.read("SOURCE_README.md"), "the source's");
}

TEST_F(FolderCard, AnExportHasItsOwnCardTheSourcesAndNoTraceOfPacking) {
  model_.folder.write("README.md", "the source's");
  complete_packed_folder(*files_, folder_);
  json config = json::parse(model_.folder.read("config.json"));
  add_loading_keys(config);
  model_.folder.write("config.json", config.dump());
  export_folder(*files_, folder_, work_ / "out", Dtype::bfloat16, 1 << 20);
  EXPECT_THAT(files_->list(work_ / "out"),
              ElementsAre("README.md", "SOURCE_README.md", "config.json", "model.safetensors",
                          "tokenizer.json"));
  EXPECT_THAT(work_.read("out/README.md"), HasSubstr("unpacked to bfloat16"));
  const json exported = json::parse(work_.read("out/config.json"));
  EXPECT_FALSE(exported.contains("auto_map"));
  EXPECT_FALSE(exported.contains("transformers_weights"));
}

TEST_F(FolderCard, TheFileIsNeitherCopiedNorNoted) {
  complete_packed_folder(*files_, folder_);
  const TempFolder copy;
  copy_companion_files(*files_, folder_, copy.path());
  EXPECT_THAT(files_->list(copy.path()), ElementsAre("README.md", "tokenizer.json"));
  EXPECT_THAT(companion_notes(*files_, TensorFolder(*files_, folder_)), IsEmpty());
}

TEST_F(FolderCard, ARecordOfOddTypesGivesACardThatLeavesItOut) {
  json config = json::parse(model_.folder.read("config.json"));
  config["quantization_config"]["bitmill"] = {
      {"base_model", 7}, {"settings", {{"samples", {1}}}}, {"tuning", {{"epochs", 1e300}}}};
  model_.folder.write("config.json", config.dump());
  complete_packed_folder(*files_, folder_);
  EXPECT_THAT(
      model_.folder.read("README.md"),
      AllOf(HasSubstr("a model whose name was not recorded"), HasSubstr("Nothing was measured")));
}

TEST_F(FolderCard, WhatWasMeasuredIsOnTheCardAndTheSealHolds) {
  complete_packed_folder(*files_, folder_);
  EXPECT_THAT(model_.folder.read("README.md"), HasSubstr("Nothing was measured"));
  const json figures = {{"text", "wiki.txt"},         {"windows", 3}, {"seq_len", 64},
                        {"perplexity", 12.5},         {"kl", 0.25},   {"top1", 0.5},
                        {"perplexity_original", 10.0}};
  record_measured(*files_, folder_, figures);
  EXPECT_THAT(
      model_.folder.read("README.md"),
      AllOf(HasSubstr("`wiki.txt`, 3 windows of 64 tokens: perplexity 12.5000, and 10.0000"),
            HasSubstr("0.2500 nats"), HasSubstr("50.00 %"),
            Not(HasSubstr("Nothing was measured"))));
  verify_packed_folder(*files_, folder_, {});
  json config = json::parse(model_.folder.read("config.json"));
  forget_measured(config);
  EXPECT_FALSE(config.at("quantization_config").at("bitmill").contains("measured"));
}

const json some_figures = {{"perplexity", 12.5}, {"perplexity_original", 10.0}};

TEST_F(FolderCard, RecordingFiguresDoesNotSealAFileThatWasDamaged) {
  complete_packed_folder(*files_, folder_);
  model_.folder.write("tokenizer.json", "{\"tokens\": [1]}");
  record_measured(*files_, folder_, some_figures);
  try {
    verify_packed_folder(*files_, folder_, {});
    FAIL() << "the damage was sealed";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("tokenizer.json"), Not(HasSubstr("was edited or"))));
  }
}

TEST_F(FolderCard, FiguresAreNotRecordedInAConfigThatWasEdited) {
  complete_packed_folder(*files_, folder_);
  const std::string card = model_.folder.read("README.md");
  json config = json::parse(model_.folder.read("config.json"));
  config["rms_norm_eps"] = 0.5;
  model_.folder.write("config.json", config.dump());
  EXPECT_THROW(record_measured(*files_, folder_, some_figures), FormatError);
  EXPECT_EQ(model_.folder.read("README.md"), card);
}

TEST(BaseModelRecord, OfAPreprocessedModelIsWhatPreprocessBeganWith) {
  const TempFolder work;
  work.write("1-preprocess/config.json",
             R"({"bitmill_preprocess": {"base_model": {"name": "m", "hub_id": "me/m"}}})");
  EXPECT_EQ(base_model_record(*posix_files(), work / "1-preprocess"),
            (json{{"name", "m"}, {"hub_id", "me/m"}, {"preprocessed", true}}));
}

TEST(BaseModelRecord, IsTheNameOfTheFolder) {
  const TempFolder work;
  work.write("my-model/config.json", R"({"_name_or_path": "/data/x"})");
  EXPECT_EQ(base_model_record(*posix_files(), work / "my-model/."), (json{{"name", "my-model"}}));
}

// A fine-tuned model names there what its training began with.
TEST(BaseModelRecord, WhereWeightsWereLoadedFromIsNoNameOfTheModel) {
  const TempFolder work;
  work.write("m/config.json", R"({"_name_or_path": "owner/model-1.5"})");
  EXPECT_EQ(base_model_record(*posix_files(), work / "m"), (json{{"name", "m"}}));
}

TEST(BaseModelRecord, KnowsANameOnTheHubFromTheCache) {
  const TempFolder work;
  const std::string cached = "models--Some-Org--a--b/snapshots/0123";
  work.write(cached + "/config.json", "{}");
  EXPECT_EQ(base_model_record(*posix_files(), work / cached),
            (json{{"name", "a--b"}, {"hub_id", "Some-Org/a--b"}}));
}

TEST(BaseModelRecord, OtherPathsHaveNoNameOnTheHub) {
  for (const char* path : {"models--a--b/0123", "models--a/snapshots/0123", "a--b/snapshots/0123",
                           "models--a b--c/snapshots/0123", "models--a--.b/snapshots/0123",
                           "models--.a--b/snapshots/0123", "models--a--/snapshots/0123"}) {
    const TempFolder work;
    work.write(fmt::format("{}/config.json", path), "{}");
    EXPECT_FALSE(base_model_record(*posix_files(), work / path).contains("hub_id")) << path;
  }
}

TEST(BaseModelRecord, ANameThatIsNotUtf8CanStillBeWrittenAsJson) {
  const TempFolder work;
  work.write("mod\xe9le/config.json", "{}");
  const json record = base_model_record(*posix_files(), work / "mod\xe9le");
  EXPECT_EQ(record["name"], "mod\xef\xbf\xbdle");
  EXPECT_NO_THROW(record.dump());
}

}  // namespace
}  // namespace bitmill
