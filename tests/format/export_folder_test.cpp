#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/export_folder.hpp"
#include "format/failing_files.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_model.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;

constexpr int64_t one_shard = 1 << 20;

class ExportFolder : public ::testing::Test {
 protected:
  void export_to(const std::string& to, Dtype dtype, int64_t max_shard_bytes = one_shard) {
    export_folder(*files_, model_.folder.path(), to, dtype, max_shard_bytes);
  }

  const PackedModel model_;
  const TempFolder work_;
  const std::string out_ = work_ / "out";
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(ExportFolder, LinearsAreTheDequantizedOnesInTheAskedDtype) {
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16, Dtype::float32}) {
    const std::string out = out_ + std::string(dtype_name(dtype));
    export_to(out, dtype);
    const TensorFolder tensors(*files_, out);
    EXPECT_EQ(tensors.names().size(), 7U);
    for (const auto& [name, linear] : model_.linears) {
      EXPECT_THAT(tensors.info(name).shape, ElementsAre(linear.rows, linear.cols));
      EXPECT_EQ(tensors.info(name).dtype, dtype);
      const std::vector<float> expected = dequantize(linear);
      std::vector<std::byte> raw(expected.size() * static_cast<size_t>(dtype_bytes(dtype)));
      std::vector<float> rounded(expected.size());
      from_float32(dtype, expected, raw);
      to_float32(dtype, raw, rounded);
      EXPECT_EQ(tensors.read_float32(name), rounded) << name;
    }
  }
}

TEST_F(ExportFolder, WhatIsNotPackedKeepsItsDtypeUnlessFloat32IsAsked) {
  const TensorFolder source(*files_, model_.folder.path());
  for (const Dtype dtype : {Dtype::float16, Dtype::float32}) {
    const std::string out = out_ + std::string(dtype_name(dtype));
    export_to(out, dtype);
    const TensorFolder tensors(*files_, out);
    const bool wide = dtype == Dtype::float32;
    EXPECT_EQ(tensors.info("model.embed_tokens.weight").dtype,
              wide ? Dtype::float32 : Dtype::bfloat16);
    EXPECT_EQ(tensors.info("model.layers.0.input_layernorm.weight").dtype, dtype);
    for (const char* name :
         {"model.embed_tokens.weight", "model.layers.0.input_layernorm.weight"}) {
      EXPECT_EQ(tensors.read_float32(name), source.read_float32(name));
    }
  }
}

TEST_F(ExportFolder, TheConfigLosesItsQuantizationAndSaysTheDtype) {
  export_to(out_, Dtype::float16);
  const auto config = nlohmann::json::parse(read_text(*files_, out_ + "/config.json"));
  EXPECT_FALSE(config.contains("quantization_config"));
  EXPECT_FALSE(config.contains("dtype"));
  EXPECT_EQ(config["torch_dtype"], "float16");
  EXPECT_EQ(config["hidden_size"], 33);
  EXPECT_EQ(config["rms_norm_eps"], 1e-5);
  EXPECT_FALSE(is_packed_folder(*files_, out_));
}

TEST_F(ExportFolder, TheNewerKeyIsSetWhereItIsTheOneThatIsThere) {
  auto config = nlohmann::json::parse(packed_config);
  config.erase("torch_dtype");
  config["dtype"] = "float16";
  model_.folder.write("config.json", config.dump());
  export_to(out_, Dtype::bfloat16);
  const auto exported = nlohmann::json::parse(read_text(*files_, out_ + "/config.json"));
  EXPECT_EQ(exported["dtype"], "bfloat16");
  EXPECT_FALSE(exported.contains("torch_dtype"));
}

TEST_F(ExportFolder, CompanionsComeAlongAndShardsAreCut) {
  export_to(out_, Dtype::float16, 5000);
  const auto names = files_->list(out_);
  EXPECT_THAT(names, ::testing::IsSupersetOf({"config.json", "model-00001-of-00004.safetensors",
                                              "model.safetensors.index.json", "tokenizer.json"}));
  EXPECT_EQ(TensorFolder(*files_, out_).shards().size(), 4U);
}

TEST_F(ExportFolder, AnEmptyFolderMayBeThereAndATrailingSlashMeansNothing) {
  files_->make_directories(out_);
  export_to(out_ + "/", Dtype::float16);
  EXPECT_TRUE(files_->exists(out_ + "/model.safetensors"));
  EXPECT_THAT(files_->list(work_.path()), ElementsAre("out"));
}

TEST_F(ExportFolder, AFolderWithAnythingInItIsRefusedAndLeftAlone) {
  work_.write("out/precious", "data");
  EXPECT_THAT([&] { export_to(out_, Dtype::float16); },
              throws_with<UsageError>("exists and is not an empty folder"));
  EXPECT_EQ(work_.read("out/precious"), "data");
  EXPECT_THAT([&] { export_to(work_ / "out/precious", Dtype::float16); },
              throws_with<UsageError>("exists and is not an empty folder"));
}

TEST_F(ExportFolder, AModelThatStandsWhereThePartialFolderGoesIsNotRemoved) {
  const std::string model = work_ / "m.partial";
  std::filesystem::copy(model_.folder.path(), model);
  EXPECT_THAT([&] { export_folder(*files_, model, work_ / "m", Dtype::float16, one_shard); },
              throws_with<UsageError>("is needed to write"));
  EXPECT_NO_THROW(verify_packed_folder(*files_, model, {}));
}

TEST_F(ExportFolder, AnOrdinaryModelAndAnOddDtypeAreRefused) {
  EXPECT_THROW(export_to(out_, Dtype::int32), UsageError);
  model_.folder.write("config.json", "{}");
  EXPECT_THAT([&] { export_to(out_, Dtype::float16); },
              throws_with<UsageError>("there is nothing to export"));
}

TEST_F(ExportFolder, ANumberTooLargeForFloat16IsRefusedWithAdvice) {
  PackedModel model;
  PackedLinear large = model.linears.begin()->second;
  large.code_scale.assign(large.code_scale.size(), float_to_half(60000));
  const std::string name = model.linears.begin()->first;
  std::erase_if(model.tensors, [&](const auto& tensor) { return tensor.name.starts_with(name); });
  for (auto& part : packed_tensors(name, std::make_shared<PackedLinear>(large))) {
    model.tensors.push_back(part);
  }
  model.write(one_shard);
  const auto exporting = [&](Dtype dtype) {
    export_folder(*files_, model.folder.path(), out_, dtype, one_shard);
  };
  EXPECT_THAT([&] { exporting(Dtype::float16); },
              throws_with<NumericError>("which float16 cannot hold; export to bfloat16"));
  EXPECT_THAT(files_->list(work_.path()), ElementsAre());
  EXPECT_NO_THROW(exporting(Dtype::bfloat16));
}

TEST_F(ExportFolder, AFailureAnywhereIsReportedAndLeavesNothingHalfWritten) {
  int operations = 0;
  for (bool failed = true; failed; ++operations) {
    FailingFiles failing(operations);
    try {
      export_folder(failing, model_.folder.path(), out_, Dtype::float16, 5000);
    } catch (const FileError&) {
      EXPECT_TRUE(failing.failed());
      EXPECT_FALSE(files_->exists(out_ + ".partial")) << "operation " << operations;
      // The last operation makes the finished folder's name durable; all others come before it.
      if (files_->exists(out_)) {
        EXPECT_NO_THROW(TensorFolder(*files_, out_));
      }
      files_->remove_tree(out_);
      continue;
    }
    failed = failing.failed();
    EXPECT_FALSE(failed) << "operation " << operations << " failed and nobody was told";
  }
  EXPECT_GT(operations, 25);
}

}  // namespace
}  // namespace bitmill
