#include "format/tensor_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/safetensors_text.hpp"
#include "format/safetensors_writer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::ElementsAre;

constexpr const char* index_file = "model.safetensors.index.json";

TensorSource floats(const std::string& name, Dtype dtype, std::vector<int64_t> shape,
                    const std::vector<float>& values) {
  const auto produce = [dtype, values](const ByteSink& sink) {
    std::vector<std::byte> raw(values.size() * static_cast<size_t>(dtype_bytes(dtype)));
    from_float32(dtype, values, raw);
    sink(raw);
  };
  return {name, dtype, std::move(shape), produce};
}

class TensorFolderTest : public ::testing::Test {
 protected:
  auto opening() {
    return [this] { TensorFolder(*files_, folder_.path()); };
  }
  // Two shards, one tensor each, and an index with this weight_map.
  void write_two_shards(const std::string& weight_map) {
    folder_.write("x.safetensors",
                  safetensors_text("{" + entry("a", "U8", "[4]", "[0,4]") + "}", 4));
    folder_.write("y.safetensors",
                  safetensors_text("{" + entry("b", "U8", "[2]", "[0,2]") + "}", 2));
    folder_.write(index_file, "{\"weight_map\":" + weight_map + "}");
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(TensorFolderTest, ASingleFileIsAFolderOfOneShard) {
  const std::string text = safetensors_text("{" + entry("a", "U8", "[4]", "[0,4]") + "}", 4);
  folder_.write("model.safetensors", text);
  const TensorFolder tensors(*files_, folder_.path());
  EXPECT_THAT(tensors.names(), ElementsAre("a"));
  EXPECT_EQ(tensors.tensor_bytes(), 4);
  EXPECT_EQ(tensors.file_bytes(), static_cast<int64_t>(text.size()));
  EXPECT_TRUE(tensors.contains("a"));
  EXPECT_FALSE(tensors.contains("b"));
  EXPECT_THAT([&] { tensors.info("b"); }, throws_with<FormatError>("holds no tensor \"b\""));
}

TEST_F(TensorFolderTest, ShardsAreFoundThroughTheIndex) {
  write_two_shards(R"({"a":"x.safetensors","b":"y.safetensors"})");
  const TensorFolder tensors(*files_, folder_.path());
  EXPECT_THAT(tensors.names(), ElementsAre("a", "b"));
  EXPECT_EQ(tensors.shards().size(), 2U);
  EXPECT_EQ(tensors.tensor_bytes(), 6);
  std::vector<std::byte> bytes(2);
  tensors.read("b", bytes);
  EXPECT_THAT(bytes, ElementsAre(std::byte{0}, std::byte{1}));
}

TEST_F(TensorFolderTest, AnIndexThatListsATensorInTheWrongShardIsRefused) {
  write_two_shards(R"({"a":"y.safetensors","b":"x.safetensors"})");
  EXPECT_THAT(opening(), throws_with<FormatError>("y.safetensors, which does not hold it ("));
}

// "a" lies in both shards, with the bytes given, beside a tensor of the shard's own.
class OverlaidFolder : public TensorFolderTest {
 protected:
  void write_shard(const std::string& name, const std::string& own, const std::string& a) {
    std::string text = safetensors_text(
        "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry(own, "U8", "[1]", "[2,3]") + "}", 3);
    folder_.write(name, text.replace(text.size() - 3, 2, a));
  }
  // `shard`: where the index says that "a" is.
  void write(const std::string& in_x, const std::string& in_y, const std::string& shard,
             const std::string& x = "x.safetensors") {
    write_shard(x, "b", in_x);
    write_shard("y.safetensors", "c", in_y);
    folder_.write(index_file, R"({"weight_map":{"a":")" + shard + R"(","b":")" + x +
                                  R"(","c":"y.safetensors"}})");
  }
  std::string read_a(const TensorFolder& tensors) {
    std::string bytes(2, '\0');
    tensors.read("a", std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }
};

TEST_F(OverlaidFolder, TheCopyThatTheIndexNamesIsReadAndSaidAloud) {
  write("no", "ok", "y.safetensors");
  const TensorFolder tensors(*files_, folder_.path());
  EXPECT_EQ(read_a(tensors), "ok");
  EXPECT_EQ(tensors.tensor_bytes(), 4);  // "a" once
  EXPECT_THAT(tensors.notes(), ElementsAre(::testing::HasSubstr(
                                   "1 of the tensors are stored in more than one shard (\"a\")")));
}

TEST_F(OverlaidFolder, EqualCopiesMayLieAnywhere) {
  write("ok", "ok", "x.safetensors");
  EXPECT_EQ(read_a(TensorFolder(*files_, folder_.path())), "ok");
}

// transformers would read the copy that is last by name.
TEST_F(OverlaidFolder, ADifferentCopyThatTransformersWouldReadIsRefusedWithAdviceThatHelps) {
  write("ok", "no", "x.safetensors");
  EXPECT_THAT(opening(), throws_with<FormatError>("rename x.safetensors so that it is the last"));
  std::filesystem::remove(folder_ / "x.safetensors");
  write("ok", "no", "z.safetensors", "z.safetensors");
  EXPECT_EQ(read_a(TensorFolder(*files_, folder_.path())), "ok");
}

TEST_F(TensorFolderTest, APrefixIsCutOffNamesAndOffTheIndex) {
  folder_.write("x.safetensors",
                safetensors_text("{" + entry("m.a", "U8", "[4]", "[0,4]") + "}", 4));
  folder_.write("y.safetensors", safetensors_text("{" + entry("b", "U8", "[2]", "[0,2]") + "}", 2));
  folder_.write(index_file, R"({"weight_map":{"m.a":"x.safetensors","b":"y.safetensors"}})");
  const TensorFolder tensors(*files_, folder_.path(), {"m.", "put."});
  EXPECT_THAT(tensors.names(), ElementsAre("b", "put.a"));
  EXPECT_EQ(tensors.info("put.a").name, "put.a");
  EXPECT_TRUE(tensors.renamed());
  EXPECT_FALSE(TensorFolder(*files_, folder_.path(), {"other.", ""}).renamed());
}

TEST_F(TensorFolderTest, TwoTensorsThatWouldGetOneNameAreRefused) {
  folder_.write("model.safetensors", safetensors_text("{" + entry("a", "U8", "[2]", "[0,2]") + "," +
                                                          entry("m.a", "U8", "[2]", "[2,4]") + "}",
                                                      4));
  EXPECT_THAT(
      [&] {
        TensorFolder(*files_, folder_.path(), {"m.", ""});
      },
      throws_with<FormatError>("two tensors are named \"a\""));
}

TEST_F(TensorFolderTest, AnIndexThatListsATensorThatIsNotThereIsRefused) {
  write_two_shards(R"({"a":"x.safetensors","b":"y.safetensors","c":"y.safetensors"})");
  EXPECT_THAT(opening(), throws_with<FormatError>("lists tensor \"c\" in y.safetensors"));
}

TEST_F(TensorFolderTest, ATensorThatTheIndexDoesNotListIsRefused) {
  folder_.write("z.safetensors", safetensors_text("{" + entry("c", "U8", "[1]", "[0,1]") + "," +
                                                      entry("d", "U8", "[1]", "[1,2]") + "}",
                                                  2));
  folder_.write(index_file, R"({"weight_map":{"c":"z.safetensors"}})");
  EXPECT_THAT(opening(), throws_with<FormatError>("holds tensor \"d\", which"));
}

TEST_F(TensorFolderTest, AMissingShardIsNamed) {
  write_two_shards(R"({"a":"x.safetensors","b":"y.safetensors","c":"z.safetensors"})");
  EXPECT_THAT(opening(), throws_with<FormatError>("z.safetensors is missing"));
}

TEST_F(TensorFolderTest, AnIndexCannotReachOutsideItsFolder) {
  const TempFolder elsewhere;
  const std::string secret = elsewhere.write(
      "x.safetensors", safetensors_text("{" + entry("a", "U8", "[4]", "[0,4]") + "}", 4));
  for (const std::string& shard :
       {secret, std::string("../x.safetensors"), std::string("sub/x.safetensors"),
        std::string(".."), std::string("..\\\\x.safetensors"), std::string(""),
        std::string("config.json")}) {
    folder_.write(index_file, R"({"weight_map":{"a":")" + shard + "\"}}");
    EXPECT_THAT(opening(), throws_with<FormatError>("in the same folder")) << shard;
  }
  // The system would stop reading the name at the zero.
  folder_.write(index_file, R"({"weight_map":{"a":"..\u0000.safetensors"}})");
  EXPECT_THAT(opening(), throws_with<FormatError>("the shard \".."));
}

TEST_F(TensorFolderTest, AMalformedIndexIsRefused) {
  for (const char* text : {"{}", "[]", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}", "{"}) {
    folder_.write(index_file, text);
    EXPECT_THAT(opening(), throws_with<FormatError>(index_file)) << text;
  }
  folder_.write(index_file, R"({"weight_map":{"a":"x.safetensors","a":"y.safetensors"}})");
  EXPECT_THAT(opening(), throws_with<FormatError>("\"a\" occurs twice"));
}

TEST_F(TensorFolderTest, AFolderWithTwoModelsIsRefused) {
  write_two_shards(R"({"a":"x.safetensors","b":"y.safetensors"})");
  folder_.write("model.safetensors", safetensors_text("{}", 0));
  EXPECT_THAT(opening(), throws_with<FormatError>("may be two models; remove one"));
}

TEST_F(TensorFolderTest, PythonPicklesAreRefusedWithAdvice) {
  folder_.write("pytorch_model-00001-of-00002.bin", "");
  EXPECT_THAT(opening(), throws_with<FormatError>("convert it to safetensors"));
}

TEST_F(TensorFolderTest, AFolderWithoutAModelSaysWhatWasLookedFor) {
  EXPECT_THAT(opening(), throws_with<FormatError>("neither model.safetensors nor"));
  EXPECT_THAT([&] { TensorFolder(*files_, folder_ / "missing"); },
              throws_with<FileError>("there is no such folder"));
}

TEST_F(TensorFolderTest, AFileThatShrinksAfterOpeningIsAnErrorNotASignal) {
  const std::string path = folder_.write(
      "model.safetensors", safetensors_text("{" + entry("a", "U8", "[40]", "[0,40]") + "}", 40));
  const TensorFolder tensors(*files_, folder_.path());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 10);
  std::vector<std::byte> bytes(40);
  EXPECT_THAT([&] { tensors.read("a", bytes); }, throws_with<FileError>("10 more were expected"));
}

TEST_F(TensorFolderTest, EveryFloatDtypeIsWidened) {
  const std::vector<float> values = {1.5F, -2, 0, 0.25F, 3, 96};
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    write_safetensors(*files_, folder_ / "model.safetensors", {floats("w", dtype, {2, 3}, values)},
                      {});
    EXPECT_EQ(TensorFolder(*files_, folder_.path()).read_float32("w"), values);
  }
}

TEST_F(TensorFolderTest, ATensorOfSeveralReadsArrivesWhole) {
  std::vector<float> values((size_t{1} << 20) * 2 + 17);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 2039);
  const int64_t size = std::ssize(values);
  write_safetensors(*files_, folder_ / "model.safetensors",
                    {floats("w", Dtype::float16, {size}, values)}, {});
  EXPECT_EQ(TensorFolder(*files_, folder_.path()).read_float32("w"), values);
}

TEST_F(TensorFolderTest, ANumberThatIsNotFiniteIsNamedWithItsPlace) {
  std::vector<float> values(2 * 3 * 5, 1.0F);
  values[1 * 15 + 2 * 5 + 4] = std::numeric_limits<float>::infinity();
  for (const Dtype dtype : {Dtype::float32, Dtype::float16, Dtype::bfloat16}) {
    write_safetensors(*files_, folder_ / "model.safetensors",
                      {floats("w", dtype, {2, 3, 5}, values)}, {});
    EXPECT_THAT([&] { TensorFolder(*files_, folder_.path()).read_float32("w"); },
                throws_with<NumericError>("tensor \"w\" is inf at [1, 2, 4]"));
  }
  values[0] = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(*files_, folder_ / "model.safetensors",
                    {floats("w", Dtype::bfloat16, {30}, values)}, {});
  EXPECT_THAT([&] { TensorFolder(*files_, folder_.path()).read_float32("w"); },
              throws_with<NumericError>("is nan at [0]"));
}

TEST_F(TensorFolderTest, WholeNumbersAreNotReadAsFloats) {
  folder_.write("model.safetensors",
                safetensors_text("{" + entry("a", "I32", "[1]", "[0,4]") + "}", 4));
  EXPECT_THAT([&] { TensorFolder(*files_, folder_.path()).read_float32("a"); },
              throws_with<FormatError>("tensor \"a\" is I32"));
}

// A real folder that somebody else's program wrote.
TEST(TensorFolderOfAnotherProgram, IsRead) {
  const std::string model = std::string(BITMILL_SOURCE_DIR) + "/../shared/models/stories260K";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not here";
  const auto files = posix_files();
  const TensorFolder tensors(*files, model);
  EXPECT_THAT(tensors.info("model.embed_tokens.weight").shape, ElementsAre(512, 64));
  for (const std::string& name : tensors.names()) EXPECT_NO_THROW(tensors.read_float32(name));
}

}  // namespace
}  // namespace bitmill
