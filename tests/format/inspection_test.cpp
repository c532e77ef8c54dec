#include "format/inspection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/packed_model.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;

TEST(Inspection, EveryBitOfEveryTensorIsCountedOnce) {
  for (const int64_t max_shard_bytes : {1 << 20, 300}) {
    const PackedModel model(max_shard_bytes);
    const Inspection result = inspect_folder(*posix_files(), model.folder.path());
    int64_t bytes = 0, linear_bits = 0, block_bits = 0;
    for (const TensorSource& tensor : model.tensors) bytes += tensor.bytes();
    for (const LinearCount& linear : result.linears) linear_bits += linear.bits;
    for (const BlockCount& block : result.blocks) block_bits += block.bits;
    EXPECT_EQ(result.tensor_bytes, bytes);
    EXPECT_EQ(8 * bytes, result.linear_bits + result.other_bits);
    EXPECT_EQ(result.linear_bits, linear_bits);
    EXPECT_EQ(result.linear_bits, block_bits);
    EXPECT_EQ(result.other_parameters, 7 * 33 + 2 * 33);
    EXPECT_EQ(result.other_bits, 16 * result.other_parameters);
    EXPECT_EQ(result.linear_weights, 2 * (33 * 67 + 13 * 33));
  }
}

TEST(Inspection, LinearsAreInBlockOrderWithTheirShapes) {
  const PackedModel model;
  const Inspection result = inspect_folder(*posix_files(), model.folder.path());
  ASSERT_EQ(result.linears.size(), 4U);
  EXPECT_EQ(result.linears[0].name, "model.layers.0.mlp.down_proj.weight");
  EXPECT_EQ(result.linears[3].name, "model.layers.11.self_attn.q_proj.weight");
  EXPECT_EQ(result.linears[3].rows, 13);
  EXPECT_EQ(result.linears[3].cols, 33);
  EXPECT_EQ(result.linears[3].salient_cols, 7);
  EXPECT_EQ(result.linears[3].bits, stored_bits(13, 33, 7));
  EXPECT_DOUBLE_EQ(result.linears[3].bits_per_weight(),
                   static_cast<double>(stored_bits(13, 33, 7)) / (13 * 33));
  ASSERT_EQ(result.blocks.size(), 2U);
  EXPECT_EQ(result.blocks[1].block, 11);
  EXPECT_EQ(result.blocks[1].weights, 33 * 67 + 13 * 33);
  EXPECT_EQ(result.blocks[1].bits, stored_bits(33, 67, 14) + stored_bits(13, 33, 7));
}

TEST(Inspection, BitsPerParameterCountsTheFilesWhole) {
  const PackedModel model;
  const Inspection result = inspect_folder(*posix_files(), model.folder.path());
  const int64_t size = std::ssize(model.folder.read("model.safetensors"));
  EXPECT_EQ(result.file_bytes, size);
  EXPECT_GT(size, result.tensor_bytes);
  EXPECT_DOUBLE_EQ(result.bits_per_parameter(),
                   8.0 * static_cast<double>(size) /
                       static_cast<double>(result.linear_weights + result.other_parameters));
}

TEST(Inspection, BlocksAreFoundInNamesOfSeveralFamilies) {
  const auto blocks_of = [](const std::string& name) {
    const TempFolder folder;
    const auto linear = std::make_shared<PackedLinear>(random_linear(2, 3, 1, 9).first);
    write_shards(*posix_files(), folder.path(), packed_tensors(name, linear), {}, 1 << 20);
    folder.write("config.json", packed_config);
    std::vector<int64_t> blocks;
    for (const auto& block : inspect_folder(*posix_files(), folder.path()).blocks) {
      blocks.push_back(block.block);
    }
    return blocks;
  };
  EXPECT_THAT(blocks_of("model.layers.120.mlp.up_proj.weight"), ElementsAre(120));
  EXPECT_THAT(blocks_of("model.decoder.layers.3.fc1.weight"), ElementsAre(3));
  EXPECT_THAT(blocks_of("layers.4.fc1.weight"), ElementsAre(4));
  for (const char* name : {"lm_head.weight", "model.layers.x.weight", "model.layers.3weight.weight",
                           "model.layers.99999999999999999999.weight"}) {
    EXPECT_THAT([&] { blocks_of(name); }, throws_with<FormatError>("is in no block")) << name;
  }
}

TEST(Inspection, AnOrdinaryFolderHasNoPackedLinears) {
  const TempFolder folder;
  write_shards(*posix_files(), folder.path(), {halves("model.layers.0.a.weight", {4, 8}, 1)}, {},
               1 << 20);
  folder.write("config.json", "{}");
  const Inspection result = inspect_folder(*posix_files(), folder.path());
  EXPECT_TRUE(result.linears.empty());
  EXPECT_EQ(result.other_parameters, 32);
  EXPECT_EQ(result.other_bits, 8 * result.tensor_bytes);
  EXPECT_EQ(result.bits_per_weight(), 0);
  EXPECT_GT(result.bits_per_parameter(), 16);
}

TEST(Inspection, PackedTensorsThatTheConfigDoesNotDeclareAreRefused) {
  const PackedModel model;
  model.folder.write("config.json", "{}");
  EXPECT_THAT([&] { inspect_folder(*posix_files(), model.folder.path()); },
              throws_with<FormatError>("no quantization_config"));
}

}  // namespace
}  // namespace bitmill
