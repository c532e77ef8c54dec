#include "format/safetensors_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "format/error_matchers.hpp"
#include "format/failing_files.hpp"
#include "format/produced_bytes.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

// `size` bytes that depend on the name.
TensorSource bytes_named(const std::string& name, int64_t size) {
  const auto produce = [name, size](const ByteSink& sink) {
    std::vector<std::byte> data(size);
    for (int64_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i * 7 + name[0]);
    sink(data);
  };
  return {name, Dtype::uint8, {size}, produce};
}

class SafetensorsWriterTest : public ::testing::Test {
 protected:
  void expect_holds(const std::vector<TensorSource>& tensors) {
    const TensorFolder folder(*files_, folder_.path());
    EXPECT_EQ(folder.names().size(), tensors.size());
    for (const TensorSource& tensor : tensors) {
      const TensorInfo& info = folder.info(tensor.name);
      EXPECT_EQ(info.shape, tensor.shape);
      EXPECT_EQ(info.dtype, tensor.dtype);
      std::vector<std::byte> data(info.bytes);
      folder.read(tensor.name, data);
      EXPECT_EQ(data, test::produced_bytes(tensor)) << tensor.name;
    }
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(SafetensorsWriterTest, WhatIsWrittenIsRead) {
  const std::vector<TensorSource> tensors = {bytes_named("z", 5), bytes_named("a", 0),
                                             bytes_named("name with \"quotes\" and ü", 1009)};
  const std::string path = folder_ / "model.safetensors";
  write_safetensors(*files_, path, tensors, {{"format", "pt"}});
  expect_holds(tensors);
  EXPECT_THAT(SafetensorsFile(*files_, path).metadata(), ElementsAre(Pair("format", "pt")));
}

TEST_F(SafetensorsWriterTest, DataIsAlignedInTheGivenOrderWithoutHoles) {
  write_safetensors(*files_, folder_ / "a", {bytes_named("z", 5), bytes_named("a", 3)}, {});
  const SafetensorsFile file(*files_, folder_ / "a");
  EXPECT_EQ(file.info("z").offset % 64, 0);
  EXPECT_EQ(file.info("a").offset, file.info("z").offset + 5);
  EXPECT_EQ(file.file_bytes(), file.info("a").offset + 3);
}

TEST_F(SafetensorsWriterTest, AFileWithoutTensorsIsAFile) {
  write_safetensors(*files_, folder_ / "a", {}, {});
  EXPECT_TRUE(SafetensorsFile(*files_, folder_ / "a").tensors().empty());
  EXPECT_EQ(folder_.read("a").size(), 64U);
}

TEST_F(SafetensorsWriterTest, TheBytesDependOnTheArgumentsOnly) {
  const std::vector<TensorSource> tensors = {bytes_named("a", 100), bytes_named("b", 100)};
  folder_.write("model.safetensors", std::string(10000, 'x'));  // what is there before is gone
  write_shards(*files_, folder_.path(), tensors, {{"k", "v"}}, 1000);
  const std::string first = folder_.read("model.safetensors");
  write_shards(*files_, folder_.path(), tensors, {{"k", "v"}}, 1000);
  EXPECT_EQ(folder_.read("model.safetensors"), first);
}

TEST_F(SafetensorsWriterTest, OneTensorIsProducedAtATime) {
  int alive = 0, most = 0;
  std::vector<TensorSource> tensors;
  for (const char* name : {"a", "b", "c"}) {
    TensorSource source = bytes_named(name, 10);
    source.produce = [&alive, &most, produce = source.produce](const ByteSink& sink) {
      most = std::max(most, ++alive);
      produce(sink);
      --alive;
    };
    tensors.push_back(source);
  }
  write_shards(*files_, folder_.path(), tensors, {}, 15);
  EXPECT_EQ(most, 1);
}

TEST_F(SafetensorsWriterTest, PiecesOfATensorMakeTheSameFile) {
  const TensorSource whole = bytes_named("a", 10);
  TensorSource pieces = whole;
  pieces.produce = [data = test::produced_bytes(whole)](const ByteSink& sink) {
    sink(std::span(data).first(3));
    sink({});
    sink(std::span(data).subspan(3));
  };
  write_shards(*files_, folder_.path(), {whole}, {}, 100);
  const std::string expected = folder_.read("model.safetensors");
  write_shards(*files_, folder_.path(), {pieces}, {}, 100);
  EXPECT_EQ(folder_.read("model.safetensors"), expected);
}

TEST_F(SafetensorsWriterTest, ALargeTensorIsCopiedInPieces) {
  const TensorSource large = bytes_named("a", bytes_per_piece + 5);
  write_shards(*files_, folder_.path(), {large}, {}, 2 * bytes_per_piece);
  const TensorFolder folder(*files_, folder_.path());
  std::vector<int64_t> sizes;
  const auto copy = copy_of(folder, "a");
  copy([&](std::span<const std::byte> piece) { sizes.push_back(std::ssize(piece)); });
  EXPECT_THAT(sizes, ElementsAre(bytes_per_piece, 5));
  EXPECT_EQ(test::produced_bytes({large.name, large.dtype, large.shape, copy}),
            test::produced_bytes(large));
}

TEST_F(SafetensorsWriterTest, ShardsAreCutAtTheLimitAndReadBack) {
  const std::vector<TensorSource> tensors = {bytes_named("e", 40), bytes_named("d", 60),
                                             bytes_named("c", 1), bytes_named("b", 250),
                                             bytes_named("a", 99)};
  write_shards(*files_, folder_.path(), tensors, {}, 100);
  EXPECT_THAT(files_->list(folder_.path()),
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                          "model.safetensors.index.json"));
  expect_holds(tensors);
  const auto index = nlohmann::json::parse(folder_.read("model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 450);
  EXPECT_EQ(index["weight_map"]["d"], "model-00001-of-00004.safetensors");
  EXPECT_EQ(index["weight_map"]["c"], "model-00002-of-00004.safetensors");
  EXPECT_EQ(index["weight_map"]["b"], "model-00003-of-00004.safetensors");
}

TEST_F(SafetensorsWriterTest, WhatFitsExactlyIsOneFile) {
  const std::vector<TensorSource> tensors = {bytes_named("a", 40), bytes_named("b", 60)};
  write_shards(*files_, folder_.path(), tensors, {}, 100);
  EXPECT_THAT(files_->list(folder_.path()), ElementsAre("model.safetensors"));
  expect_holds(tensors);
}

TEST_F(SafetensorsWriterTest, EveryShardRecordsTheHashesOfItsTensors) {
  const std::vector<TensorSource> tensors = {bytes_named("a", 40), bytes_named("b", 90)};
  write_shards(*files_, folder_.path(), tensors, {{"format", "pt"}}, 100);
  const TensorFolder folder(*files_, folder_.path());
  ASSERT_EQ(folder.shards().size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const auto& metadata = folder.shards()[i]->metadata();
    EXPECT_EQ(metadata.at("format"), "pt");
    const auto hashes = nlohmann::json::parse(metadata.at(hashes_key));
    EXPECT_EQ(hashes.size(), 1U);
    EXPECT_EQ(hashes[tensors[i].name], hash_hex(test::produced_bytes(tensors[i])));
  }
}

TEST_F(SafetensorsWriterTest, ATensorOfAnotherSizeThanAnnouncedIsRefused) {
  TensorSource wrong = bytes_named("a", 10);
  wrong.shape = {11};
  EXPECT_THAT([&] { write_safetensors(*files_, folder_ / "a", {wrong}, {}); },
              throws_with<FormatError>("\"a\" takes 11 bytes, and 10 were produced"));
  // Nothing that a reader would take for a file: no header was written.
  EXPECT_THROW(SafetensorsFile(*files_, folder_ / "a"), FormatError);
}

TEST_F(SafetensorsWriterTest, NamesAndDtypesThatCannotBeWrittenAreRefused) {
  const auto writing = [&](std::vector<TensorSource> tensors) {
    return [this, tensors] { write_shards(*files_, folder_.path(), tensors, {}, 15); };
  };
  EXPECT_THAT(writing({bytes_named("a", 10), bytes_named("a", 10)}),
              throws_with<FormatError>("\"a\" is given twice"));
  EXPECT_THAT(writing({bytes_named("__metadata__", 1)}), throws_with<FormatError>("is reserved"));
  EXPECT_THAT(writing({bytes_named("\xff", 1)}),
              throws_with<FormatError>("cannot write the header"));
  TensorSource other = bytes_named("a", 1);
  other.dtype = Dtype::other;
  EXPECT_THAT(writing({other}), throws_with<FormatError>("a dtype that is not supported"));
  EXPECT_THAT([&] { write_shards(*files_, folder_.path(), {}, {}, 0); },
              throws_with<UsageError>("at least 1 byte, not 0"));
}

TEST_F(SafetensorsWriterTest, EveryFailingOperationIsReported) {
  const std::vector<TensorSource> tensors = {bytes_named("a", 40), bytes_named("b", 90)};
  int operations = 0;
  for (bool failed = true; failed; ++operations) {
    FailingFiles failing(operations);
    try {
      write_shards(failing, folder_.path(), tensors, {}, 100);
    } catch (const FileError&) {
      EXPECT_TRUE(failing.failed());
      continue;
    }
    failed = failing.failed();
    EXPECT_FALSE(failed) << "operation " << operations << " failed and nobody was told";
  }
  EXPECT_GT(operations, 12);  // per shard: create, data, header, sync, close; then the index
}

TEST_F(SafetensorsWriterTest, AnErrorOfCloseIsReported) {
  FailingFiles failing(0, "close");
  EXPECT_THAT([&] { write_safetensors(failing, folder_ / "a", {bytes_named("a", 4)}, {}); },
              throws_with<FileError>("cannot close"));
}

}  // namespace
}  // namespace bitmill
