#include "format/packed_folder.hpp"
#include "format/export_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "counted_files.hpp"
#include "format/error_matchers.hpp"
#include "format/inspection.hpp"
#include "format/packed_model.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

void flip_bit(const std::string& path, int64_t byte, int bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(byte);
  const auto old = static_cast<char>(file.get());
  file.seekp(byte);
  file.put(static_cast<char>(old ^ (1 << bit)));
}

TEST(PackedFolder, IsRecognisedByItsConfig) {
  const auto files = posix_files();
  const TempFolder folder;
  const auto packed = [&](const std::string& config) {
    folder.write("config.json", config);
    return is_packed_folder(*files, folder.path());
  };
  EXPECT_TRUE(packed(packed_config));
  EXPECT_FALSE(packed("{}"));
  EXPECT_FALSE(packed(R"({"quantization_config": null})"));
  EXPECT_THROW(packed("[]"), FormatError);
  EXPECT_THROW(packed(R"({"quantization_config": {"quant_method": "ptq161"}})"), FormatError);
}

TEST(PackedFolder, AnotherMethodOrVersionIsRefusedNamingBoth) {
  const auto files = posix_files();
  const TempFolder folder;
  folder.write("config.json", R"({"quantization_config": {"quant_method": "gptq", "bits": 4}})");
  EXPECT_THAT([&] { is_packed_folder(*files, folder.path()); },
              AllOf(throws_with<FormatError>("\"gptq\""), throws_with<FormatError>("\"ptq161\"")));
  folder.write("config.json",
               R"({"quantization_config": {"quant_method": "ptq161", "version": 2}})");
  EXPECT_THAT([&] { is_packed_folder(*files, folder.path()); },
              throws_with<FormatError>("version 2; this program reads version 1"));
}

TEST(VerifyPackedFolder, AnUndamagedFolderPassesAndProgressReachesItsTotal) {
  for (const int64_t max_shard_bytes : {1 << 20, 300}) {
    const PackedModel model(max_shard_bytes);
    int64_t last = 0, total = 0;
    verify_packed_folder(*posix_files(), model.folder.path(), [&](int64_t done, int64_t all) {
      EXPECT_GT(done, last);
      last = done;
      total = all;
    });
    EXPECT_GT(total, 0);
    EXPECT_EQ(last, total);
  }
}

TEST(VerifyPackedFolder, EveryTensorButAMaskIsReadOnceAndItsHashReturned) {
  const PackedModel model(300);
  CountedFiles files;
  const auto hashes = verify_packed_folder(files, model.folder.path(), {});
  const TensorFolder tensors(*posix_files(), model.folder.path());
  ASSERT_EQ(hashes.size(), tensors.names().size());
  for (const auto& shard : tensors.shards()) {
    for (const auto& [name, info] : shard->tensors()) {
      std::vector<std::byte> bytes(info.bytes);
      shard->read(info, bytes);
      EXPECT_EQ(hashes.at(name), hash_hex(bytes)) << name;
      const int64_t times = name.ends_with(".mask") ? 2 : 1;
      EXPECT_EQ(files.read_of(shard->path(), info.offset, info.bytes), times * info.bytes) << name;
    }
  }
}

TEST(VerifyPackedFolder, OneFlippedBitInAnyTensorIsFound) {
  const PackedModel model(300);
  const auto files = posix_files();
  const TensorFolder tensors(*files, model.folder.path());
  RandomNumbers random(5);
  for (const auto& shard : tensors.shards()) {
    for (const auto& [name, info] : shard->tensors()) {
      const int64_t byte = info.offset + static_cast<int64_t>(random.below(info.bytes));
      const int bit = static_cast<int>(random.below(8));
      flip_bit(shard->path(), byte, bit);
      EXPECT_THAT([&] { verify_packed_folder(*files, model.folder.path(), {}); },
                  throws_with<FormatError>(name))
          << "byte " << byte << ", bit " << bit;
      flip_bit(shard->path(), byte, bit);
    }
  }
  EXPECT_NO_THROW(verify_packed_folder(*files, model.folder.path(), {}));
}

TEST(VerifyPackedFolder, ATruncatedFileIsNamedWithBothSizes) {
  const PackedModel model;
  const std::string path = model.folder / "model.safetensors";
  const auto size = std::filesystem::file_size(path);
  std::filesystem::resize_file(path, size - 1);
  EXPECT_THAT([&] { verify_packed_folder(*posix_files(), model.folder.path(), {}); },
              AllOf(throws_with<FormatError>("is truncated: it has " + std::to_string(size - 1)),
                    throws_with<FormatError>("ends at byte " + std::to_string(size))));
}

TEST(VerifyPackedFolder, AFolderWithoutHashesIsRefused) {
  const PackedModel model;
  const auto files = posix_files();
  write_safetensors(*files, model.folder / "model.safetensors", model.tensors, {});
  model.seal();
  EXPECT_THAT([&] { verify_packed_folder(*files, model.folder.path(), {}); },
              throws_with<FormatError>("\"bitmill.hashes\" is missing"));
  write_safetensors(*files, model.folder / "model.safetensors", model.tensors,
                    {{hashes_key, "{}"}});
  model.seal();
  EXPECT_THAT([&] { verify_packed_folder(*files, model.folder.path(), {}); },
              throws_with<FormatError>("a hash for each of"));
}

TEST(VerifyPackedFolder, PartsThatDisagreeAreFoundThoughTheirHashesMatch) {
  PackedModel model;
  PackedLinear wrong = model.linears.begin()->second;
  wrong.row_scale[0] = 0x7C00;
  const std::string name = model.linears.begin()->first;
  std::erase_if(model.tensors, [&](const auto& tensor) { return tensor.name.starts_with(name); });
  for (auto& part : packed_tensors(name, std::make_shared<PackedLinear>(wrong))) {
    model.tensors.push_back(part);
  }
  model.write(1 << 20);
  EXPECT_THAT([&] { verify_packed_folder(*posix_files(), model.folder.path(), {}); },
              throws_with<FormatError>(name + ".row_scale: element 0 is inf"));
}

TEST(VerifyPackedFolder, AWeightThatIsThereTwiceIsRefused) {
  PackedModel model;
  model.tensors.push_back(halves("model.layers.0.mlp.down_proj.weight", {33, 67}, 1));
  model.write(1 << 20);
  EXPECT_THAT([&] { verify_packed_folder(*posix_files(), model.folder.path(), {}); },
              throws_with<FormatError>("twice, packed and not packed"));
}

TEST(VerifyPackedFolder, AnOrdinaryFolderIsRefused) {
  const TempFolder folder;
  folder.write("config.json", "{}");
  EXPECT_THAT([&] { verify_packed_folder(*posix_files(), folder.path(), {}); },
              throws_with<FormatError>("is not a packed model"));
}

TEST(CopyCompanionFiles, EverythingButWeightsAndConfigIsCopied) {
  const TempFolder from, to, elsewhere;
  const auto files = posix_files();
  for (const char* name :
       {"model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json",
        "pytorch_model.bin", "pytorch_model.bin.index.json", "a.pt", "b.gguf", "c.h5", "d.msgpack",
        "config.json", "original/params.json"}) {
    from.write(name, "weights");
  }
  from.write("tokenizer.json", "{}");
  from.write("tokenizer.model", std::string("binary\0data", 11));
  from.write("README.md", "");
  elsewhere.write("blob", "merges");
  std::filesystem::create_symlink(elsewhere / "blob", from / "merges.txt");
  copy_companion_files(*files, from.path(), to.path());
  EXPECT_THAT(files->list(to.path()),
              UnorderedElementsAre("README.md", "merges.txt", "tokenizer.json", "tokenizer.model"));
  EXPECT_EQ(to.read("tokenizer.model"), std::string("binary\0data", 11));
  EXPECT_EQ(to.read("merges.txt"), "merges");
  EXPECT_FALSE(std::filesystem::is_symlink(to / "merges.txt"));
}

// Once, the first copy waited for a writer for ever, and hours of work waited with it.
TEST(CopyCompanionFiles, APipeAndALinkToNothingAreNamedBeforehandAndNeverWaitedFor) {
  const TempFolder from, to;
  const auto files = posix_files();
  from.write("tokenizer.json", "{}");
  std::filesystem::create_symlink(from / "gone", from / "merges.txt");
  ASSERT_EQ(::mkfifo((from / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(companion_problems(*files, from.path()),
              ElementsAre(AllOf(HasSubstr(from / "merges.txt"), HasSubstr("repair or remove it")),
                          AllOf(HasSubstr(from / "pipe"), HasSubstr("a pipe"))));
  EXPECT_THROW(copy_companion_files(*files, from.path(), to.path()), FileError);
  std::filesystem::remove(from / "merges.txt");
  EXPECT_THROW(copy_companion_files(*files, from.path(), to.path()), FileError);
  std::filesystem::remove(from / "pipe");
  EXPECT_THAT(companion_problems(*files, from.path()), ElementsAre());
}

}  // namespace
}  // namespace bitmill
