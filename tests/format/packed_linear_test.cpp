#include "format/packed_linear.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/packed_model.hpp"
#include "format/produced_bytes.hpp"
#include "format/tensor_folder.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;

struct Shape {
  int64_t rows, cols, salient;
};

// 0, 1, word boundaries and one beside them, primes; all low, all salient, both.
const std::vector<Shape> awkward_shapes = {
    {0, 0, 0},  {0, 5, 2},    {1, 0, 0},   {1, 1, 0},     {1, 1, 1},     {3, 31, 0},    {3, 31, 31},
    {3, 32, 0}, {3, 33, 1},   {8, 32, 32}, {9, 40, 8},    {7, 41, 9},    {2, 33, 33},   {31, 33, 7},
    {33, 1, 0}, {64, 64, 13}, {5, 97, 31}, {17, 101, 33}, {13, 127, 26}, {24, 128, 64},
};

std::vector<TensorSource> sources(const std::string& name, const PackedLinear& linear) {
  return packed_tensors(name, std::make_shared<PackedLinear>(linear));
}

// The folder keeps the shape of `linear`; `damage` may change the tensors before they are written.
TensorFolder written(Files& files, const TempFolder& folder, const PackedLinear& linear,
                     const std::function<void(std::vector<TensorSource>&)>& damage = {}) {
  auto tensors = sources("w", linear);
  if (damage) damage(tensors);
  write_safetensors(files, folder / "model.safetensors", tensors, {});
  return TensorFolder(files, folder.path());
}

// The formula of packed_linear.hpp, one weight at a time, in float as written.
float weight_at(const PackedLinear& linear, const UnpackedLinear& plain, int64_t row, int64_t col) {
  const auto value = [](uint16_t bits) { return half_to_float(bits); };
  const int64_t at = row * linear.cols + col;
  if (plain.salient[col] != 0) {
    return value(linear.code_scale[row]) *
           (static_cast<float>(plain.code[at]) - static_cast<float>(plain.zero[row]));
  }
  int64_t low = 0;
  for (int64_t before = 0; before < col; ++before) low += 1 - plain.salient[before];
  return value(linear.col_gain[low]) *
         (value(linear.row_scale[row]) * static_cast<float>(plain.sign[at]) +
          value(linear.row_mean[row]));
}

TEST(PackedLinear, EveryWeightOfAwkwardShapesFollowsTheFormulaExactly) {
  for (const auto& [rows, cols, salient] : awkward_shapes) {
    const auto [packed, plain] = random_linear(rows, cols, salient, 100 + cols);
    const std::vector<float> weight = dequantize(packed);
    ASSERT_EQ(std::ssize(weight), rows * cols);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        ASSERT_EQ(weight[row * cols + col], weight_at(packed, plain, row, col))
            << rows << " x " << cols << ", " << salient << " salient, at " << row << ", " << col;
      }
    }
  }
}

TEST(PackedLinear, ByHand) {
  PackedLinear linear;
  linear.rows = 1;
  linear.cols = 4;
  linear.salient_cols = 2;
  linear.mask = {0b1010};  // source columns 1 and 3
  linear.signs = {0b01};   // column 0 is +1, column 2 is -1
  linear.codes = {0x0F};   // column 1 is 15, column 3 is 0
  linear.code_zero = {0x3};
  linear.row_scale = {0x3C00};         // 1
  linear.row_mean = {0x3800};          // 0.5
  linear.col_gain = {0x4000, 0x3C00};  // 2, 1
  linear.code_scale = {0x3400};        // 0.25
  EXPECT_THAT(dequantize(linear), ElementsAre(3.0F, 3.0F, -0.5F, -0.75F));
}

TEST(PackedLinear, CopiedFromMemoryItIsWhatAFileGives) {
  const auto files = posix_files();
  for (const auto& [rows, cols, salient] : awkward_shapes) {
    const TempFolder folder;
    const PackedLinear linear = random_linear(rows, cols, salient, 7).first;
    const TensorFolder tensors = written(*files, folder, linear);
    std::vector<std::vector<std::byte>> bytes;
    read_packed_linear(tensors, "w", rows, cols, [&](const std::string&, auto part) {
      bytes.emplace_back(part.begin(), part.end());
    });
    const std::vector<std::span<const std::byte>> spans(bytes.begin(), bytes.end());
    const PackedLinear copy = copy_packed_linear(spans, rows, cols, "w");
    EXPECT_EQ(copy.salient_cols, salient);
    EXPECT_EQ(dequantize(copy), dequantize(linear)) << rows << " x " << cols;
  }
}

TEST(PackedLinear, SurvivesTheWayThroughAFile) {
  const auto files = posix_files();
  for (const auto& [rows, cols, salient] : awkward_shapes) {
    const TempFolder folder;
    const PackedLinear linear = random_linear(rows, cols, salient, 7).first;
    const TensorFolder tensors = written(*files, folder, linear);
    const PackedLinear back = read_packed_linear(tensors, "w", rows, cols);
    EXPECT_EQ(back.salient_cols, salient);
    EXPECT_EQ(back.signs, linear.signs);
    EXPECT_EQ(back.codes, linear.codes);
    EXPECT_EQ(back.mask, linear.mask);
    EXPECT_EQ(back.code_zero, linear.code_zero);
    EXPECT_EQ(back.row_scale, linear.row_scale);
    EXPECT_EQ(back.row_mean, linear.row_mean);
    EXPECT_EQ(back.col_gain, linear.col_gain);
    EXPECT_EQ(back.code_scale, linear.code_scale);
    const PackedShape shape = read_packed_shape(tensors, "w");
    EXPECT_THAT(std::vector({shape.rows, shape.cols, shape.salient_cols}),
                ElementsAre(rows, cols, salient));
  }
}

TEST(PackedLinear, StoredBitsAreThoseOfTheFile) {
  const auto files = posix_files();
  for (const auto& [rows, cols, salient] : awkward_shapes) {
    const TempFolder folder;
    const PackedLinear linear = random_linear(rows, cols, salient, 7).first;
    const int64_t bits = 8 * written(*files, folder, linear).tensor_bytes();
    EXPECT_EQ(stored_bits(linear), bits);
    EXPECT_EQ(stored_bits(rows, cols, salient), bits);
  }
}

TEST(PackedLinear, StoredBitsByHand) {
  // signs 3 x 2 words, codes 3 x 1, mask 2, code_zero 1: 12 words; floats 3 + 3 + 33 + 3 = 42.
  EXPECT_EQ(stored_bits(3, 40, 7), 12 * 32 + 42 * 16);
  // The figure of METHOD.md, "Bits per weight": 4096 x 4096 at 20% salient.
  EXPECT_NEAR(static_cast<double>(stored_bits(4096, 4096, 820)) / (4096.0 * 4096.0), 1.625, 0.001);
}

TEST(PackedLinear, APartThatIsMissingIsNamed) {
  const auto files = posix_files();
  const PackedLinear linear = random_linear(5, 40, 9, 3).first;
  for (size_t part = 0; part < packed_parts().size(); ++part) {
    const TempFolder folder;
    const TensorFolder tensors =
        written(*files, folder, linear, [&](auto& all) { all.erase(all.begin() + part); });
    const std::string name = std::string("\"w") + packed_parts()[part].suffix + "\" is missing";
    EXPECT_THAT([&] { read_packed_linear(tensors, "w", 5, 40); }, throws_with<FormatError>(name));
    EXPECT_THAT([&] { read_packed_shape(tensors, "w"); }, throws_with<FormatError>(name));
    EXPECT_TRUE(is_packed(tensors, "w"));
  }
}

TEST(PackedLinear, APartOfAnotherDtypeOrShapeIsNamed) {
  const auto files = posix_files();
  const PackedLinear linear = random_linear(5, 40, 9, 3).first;
  for (size_t part = 0; part < packed_parts().size(); ++part) {
    const TempFolder folder;
    const std::string name = std::string("w") + packed_parts()[part].suffix;
    const auto one_row_more = [&](std::vector<TensorSource>& all) {
      TensorSource& source = all[part];
      source.shape[0] += 1;
      source.produce = [bytes = source.bytes()](const ByteSink& sink) {
        sink(std::vector<std::byte>(bytes));
      };
    };
    const TensorFolder longer = written(*files, folder, linear, one_row_more);
    EXPECT_THAT([&] { read_packed_linear(longer, "w", 5, 40); },
                AllOf(throws_with<FormatError>(name), throws_with<FormatError>("has shape")));
    const auto as_bytes = [&](std::vector<TensorSource>& all) {
      all[part].shape.push_back(dtype_bytes(all[part].dtype));
      all[part].dtype = Dtype::uint8;
    };
    const TensorFolder untyped = written(*files, folder, linear, as_bytes);
    EXPECT_THAT([&] { read_packed_linear(untyped, "w", 5, 40); },
                throws_with<FormatError>("\"" + name + "\" is U8"));
  }
}

TEST(PackedLinear, AnotherShapeThanTheModelsIsRefused) {
  const auto files = posix_files();
  const TempFolder folder;
  const TensorFolder tensors = written(*files, folder, random_linear(5, 40, 9, 3).first);
  EXPECT_THROW(read_packed_linear(tensors, "w", 4, 40), FormatError);
  EXPECT_THROW(read_packed_linear(tensors, "w", 5, 41), FormatError);
  EXPECT_THROW(read_packed_linear(tensors, "w", 5, 72), FormatError);
}

TEST(PackedLinear, AMaskThatDisagreesWithThePartsIsRefused) {
  const auto files = posix_files();
  PackedLinear linear = random_linear(5, 40, 9, 3).first;
  linear.mask[0] ^= 1;
  const TempFolder folder;
  const TensorFolder tensors = written(*files, folder, linear);
  EXPECT_THAT([&] { read_packed_linear(tensors, "w", 5, 40); },
              throws_with<FormatError>("salient columns needs"));
}

TEST(PackedLinear, PaddingBitsThatAreSetAreRefused) {
  const auto files = posix_files();
  // 34 low columns and 9 salient ones: two words each, 2 bits and 1 nibble of the second in use.
  const PackedLinear honest = random_linear(5, 43, 9, 3).first;
  const auto expect_refused = [&](std::vector<uint32_t> PackedLinear::*words, size_t word, int bit,
                                  const std::string& part) {
    PackedLinear linear = honest;
    (linear.*words)[word] |= 1U << bit;
    const TempFolder folder;
    const TensorFolder tensors = written(*files, folder, linear);
    EXPECT_THAT([&] { read_packed_linear(tensors, "w", 5, 43); },
                AllOf(throws_with<FormatError>("w." + part), throws_with<FormatError>("must be 0")))
        << "bit " << bit;
  };
  for (const int bit : {2, 31}) expect_refused(&PackedLinear::signs, 9, bit, "signs");
  for (const int bit : {4, 31}) expect_refused(&PackedLinear::codes, 3, bit, "codes");
  for (const int bit : {11, 31}) expect_refused(&PackedLinear::mask, 1, bit, "mask");
  for (const int bit : {20, 31}) expect_refused(&PackedLinear::code_zero, 0, bit, "code_zero");
}

TEST(PackedLinear, FloatsThatAreNotFiniteAreRefused) {
  const auto files = posix_files();
  const PackedLinear honest = random_linear(5, 43, 9, 3).first;
  const auto expect_refused = [&](std::vector<uint16_t> PackedLinear::*halves, uint16_t bits,
                                  const std::string& part) {
    PackedLinear linear = honest;
    (linear.*halves)[4] = bits;
    const TempFolder folder;
    const TensorFolder tensors = written(*files, folder, linear);
    EXPECT_THAT([&] { read_packed_linear(tensors, "w", 5, 43); },
                throws_with<FormatError>("w." + part + ": element 4 is"));
  };
  expect_refused(&PackedLinear::row_scale, 0x7C00, "row_scale");
  expect_refused(&PackedLinear::row_mean, 0xFC00, "row_mean");
  expect_refused(&PackedLinear::col_gain, 0x7E00, "col_gain");
  expect_refused(&PackedLinear::code_scale, 0xFC01, "code_scale");
}

TEST(PackedLinear, PartsAreFoundByTheNameOfTheirWeight) {
  const auto files = posix_files();
  const TempFolder folder;
  auto tensors = sources("model.layers.0.a.weight", random_linear(2, 3, 1, 3).first);
  tensors.push_back(halves("attn.mask", {4}, 1));           // a model's own tensor
  tensors.push_back(halves("b.weight.row_scale", {4}, 1));  // the rest of b was lost
  write_safetensors(*files, folder / "model.safetensors", tensors, {});
  const TensorFolder opened(*files, folder.path());
  EXPECT_THAT(packed_names(opened), ElementsAre("b.weight", "model.layers.0.a.weight"));
  EXPECT_TRUE(is_packed(opened, "model.layers.0.a.weight"));
  EXPECT_FALSE(is_packed(opened, "model.layers.0.a"));
}

// The worked example of FORMAT.md, byte by byte: change both or neither.
TEST(FormatPage, TheWorkedExampleIsWhatIsWritten) {
  PackedLinear linear;
  linear.rows = 2;
  linear.cols = 5;
  linear.salient_cols = 2;
  linear.mask = {0b10010};
  linear.signs = {0b101, 0b010};
  linear.codes = {0xF0, 0x2A};
  linear.code_zero = {0x58};
  linear.row_scale = {0x3C00, 0x3800};
  linear.row_mean = {0x3400, 0x0000};
  linear.col_gain = {0x3C00, 0x4000, 0x3C00};
  linear.code_scale = {0x3000, 0x2C00};
  std::string hex;
  for (const TensorSource& source : sources("w", linear)) {
    for (const std::byte byte : test::produced_bytes(source)) {
      const auto digits = "0123456789abcdef";
      hex += digits[static_cast<int>(byte) >> 4];
      hex += digits[static_cast<int>(byte) & 15];
    }
    hex += ' ';
  }
  EXPECT_EQ(hex,
            "0500000002000000 f00000002a000000 12000000 58000000 "
            "003c0038 00340000 003c0040003c 0030002c ");
  EXPECT_THAT(dequantize(linear), ElementsAre(1.25F, -1.0F, -1.5F, 1.25F, 0.875F,  //
                                              -0.5F, 0.3125F, 1.0F, -0.5F, -0.1875F));
  EXPECT_EQ(stored_bits(linear), 336);
}

}  // namespace
}  // namespace bitmill
