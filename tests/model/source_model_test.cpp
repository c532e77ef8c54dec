#include "model/source_model.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.hpp"
#include "format/packed_layout.hpp"
#include "format/packed_linear.hpp"
#include "format/produced_bytes.hpp"
#include "model/opened_model.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using test::drop;
using test::OpenedModel;
using test::random_tensor;
using test::source_of;
using test::tiny_config;
using test::tiny_tensors;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A tensor's values as its source produces them, [elements].
at::Tensor values_of(const TensorSource& source) {
  const auto raw = test::produced_bytes(source);
  at::Tensor values = at::empty({static_cast<int64_t>(raw.size()) / dtype_bytes(source.dtype)});
  to_float32(source.dtype, raw, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

class SourceModelTest : public OpenedModel {};

TEST_F(SourceModelTest, BlocksAreReadByRole) {
  const BlockWeights block = open().load_block(1);
  ASSERT_EQ(block.linears.size(), 7U);
  const auto expect = [&](const at::Tensor& loaded, const std::string& name) {
    const TensorSource& source = source_of(tensors_, "model.layers.1." + name + ".weight");
    EXPECT_EQ(loaded.sizes().vec(), source.shape) << name;
    EXPECT_TRUE(at::equal(loaded.flatten(), values_of(source))) << name;
  };
  expect(block.vectors.input_norm.weight, "input_layernorm");
  expect(block.vectors.middle_norm.weight, "post_attention_layernorm");
  const char* names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                         "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                         "mlp.down_proj"};
  for (size_t i = 0; i < block.linears.size(); ++i) expect(block.linears[i], names[i]);
}

TEST_F(SourceModelTest, WeightsBeginAt64ByteBoundaries) {
  const SourceModel model = open();
  for (const at::Tensor& weight : model.load_block(0).linears) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(weight.const_data_ptr()) % 64, 0);
  }
}

TEST_F(SourceModelTest, SixteenBitWeightsAreWidened) {
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  for (const Dtype dtype : {Dtype::float16, Dtype::bfloat16}) {
    source_of(tensors_, name) = random_tensor(name, {20, 12}, 99, dtype);
    const at::Tensor up = open().load_block(0).linears[5];
    EXPECT_EQ(up.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(up.flatten(), values_of(source_of(tensors_, name))));
  }
}

TEST_F(SourceModelTest, AnUntiedHeadIsItsOwnTensor) {
  const HeadWeights head = open().load_head();
  EXPECT_TRUE(at::equal(head.head.flatten(), values_of(source_of(tensors_, "lm_head.weight"))));
  EXPECT_TRUE(at::equal(head.norm.weight, values_of(source_of(tensors_, "model.norm.weight"))));
}

at::Tensor all_embeddings(const SourceModel& model) {
  std::vector<int32_t> all(model.config().vocab_size);
  std::iota(all.begin(), all.end(), 0);
  return model.embed(all);
}

// As transformers 5: tests/golden/models/check_variants.py.
TEST_F(SourceModelTest, AHeadThatTheConfigTiesAndTheFolderStoresIsUsedAndSaidAloud) {
  config_["tie_word_embeddings"] = true;
  const SourceModel model = open();  // lm_head.weight is still there
  EXPECT_FALSE(model.config().tied_embeddings);
  EXPECT_TRUE(at::equal(model.load_head().head.flatten(),
                        values_of(source_of(tensors_, "lm_head.weight"))));
  EXPECT_TRUE(at::equal(all_embeddings(model).flatten(),
                        values_of(source_of(tensors_, "model.embed_tokens.weight"))));
  EXPECT_THAT(model.notes(),
              ElementsAre(HasSubstr("ties head and embedding, and both are stored")));
}

TEST_F(SourceModelTest, OfTiedHeadAndEmbeddingEitherMayBeStored) {
  config_["tie_word_embeddings"] = true;
  for (const char* missing : {"lm_head.weight", "model.embed_tokens.weight"}) {
    tensors_ = tiny_tensors(tiny_config());
    drop(tensors_, missing);
    const SourceModel model = open();
    EXPECT_TRUE(model.config().tied_embeddings);
    EXPECT_TRUE(at::equal(model.load_head().head, all_embeddings(model))) << missing;
    EXPECT_THAT(model.notes(), IsEmpty());
  }
}

TEST_F(SourceModelTest, TheHeadOfAnotherModelIsSharedWhereItIsTheSame) {
  const HeadWeights original = open().load_head();
  const HeadWeights same = open().load_head(original);
  EXPECT_EQ(same.head.const_data_ptr(), original.head.const_data_ptr());
  EXPECT_NE(same.norm.weight.const_data_ptr(), original.norm.weight.const_data_ptr());

  source_of(tensors_, "lm_head.weight") =
      random_tensor("lm_head.weight", original.head.sizes().vec(), 99, Dtype::float32);
  const HeadWeights changed = open().load_head(original);
  EXPECT_NE(changed.head.const_data_ptr(), original.head.const_data_ptr());
  EXPECT_FALSE(at::equal(changed.head, original.head));
}

TEST_F(SourceModelTest, AModelSavedWithoutWhatStandsAroundItIsReadWithoutItsPrefix) {
  config_["tie_word_embeddings"] = true;
  drop(tensors_, "lm_head.weight");
  for (TensorSource& tensor : tensors_) tensor.name = tensor.name.substr(strlen("model."));
  const SourceModel model = open();
  EXPECT_EQ(block_linears(model.config(), 1)[6].tensor, "layers.1.mlp.down_proj.weight");
  EXPECT_TRUE(at::equal(model.load_block(1).vectors.input_norm.weight,
                        values_of(source_of(tensors_, "layers.1.input_layernorm.weight"))));
}

TEST_F(SourceModelTest, AValueThatIsNotFiniteIsRefusedWhenItsBlockIsRead) {
  TensorSource& gate = source_of(tensors_, "model.layers.1.mlp.gate_proj.weight");
  gate.produce = [](const ByteSink& sink) {
    std::vector<float> values(240, 1.0F);
    values[25] = std::numeric_limits<float>::infinity();
    sink(std::as_bytes(std::span(values)));
  };
  const SourceModel model = open();
  EXPECT_NO_THROW(model.load_block(0));
  try {
    model.load_block(1);
    FAIL();
  } catch (const NumericError& error) {
    EXPECT_THAT(error.what(), HasSubstr("model.layers.1.mlp.gate_proj.weight"));
  }
}

// rows x cols, every third column salient, bits of no meaning.
std::shared_ptr<PackedLinear> make_packed(int64_t rows, int64_t cols) {
  using packed::words_for;
  auto linear = std::make_shared<PackedLinear>();
  linear->rows = rows;
  linear->cols = cols;
  linear->mask.resize(words_for(cols, 32));
  for (int64_t c = 0; c < cols; c += 3) {
    packed::set_bit(linear->mask.data(), c);
    ++linear->salient_cols;
  }
  const int64_t low = linear->low_cols(), salient = linear->salient_cols;
  linear->signs.resize(rows * words_for(low, 32));
  linear->codes.resize(rows * words_for(salient, 8));
  linear->code_zero.resize(words_for(rows, 8));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = r % 2; j < low; j += 2) {
      packed::set_bit(linear->signs.data() + r * words_for(low, 32), j);
    }
    for (int64_t j = 0; j < salient; ++j) {
      packed::set_code(linear->codes.data() + r * words_for(salient, 8), j,
                       static_cast<uint32_t>((r + 5 * j) % 16));
    }
    packed::set_code(linear->code_zero.data(), r, static_cast<uint32_t>(r % 16));
    linear->row_scale.push_back(float_to_half(0.5F + static_cast<float>(r)));
    linear->row_mean.push_back(float_to_half(-0.25F));
    linear->code_scale.push_back(float_to_half(0.125F));
  }
  linear->col_gain.assign(low, float_to_half(2.0F));
  return linear;
}

class PackedSourceModelTest : public SourceModelTest {
 protected:
  void replace_with_packed(const std::string& name, int64_t rows, int64_t cols) {
    drop(tensors_, name);
    packed_ = make_packed(rows, cols);
    for (TensorSource& part : packed_tensors(name, packed_)) tensors_.push_back(std::move(part));
    config_["quantization_config"] = {{"quant_method", "ptq161"},
                                      {"version", packed::format_version}};
  }

  const std::string query_ = "model.layers.0.self_attn.q_proj.weight";
  std::shared_ptr<const PackedLinear> packed_;
};

TEST_F(PackedSourceModelTest, PackedLinearsComeDequantizedBesideOthersIn16Bits) {
  replace_with_packed(query_, 24, 12);
  const BlockWeights block = open().load_block(0);
  const std::vector<float> expected = dequantize(*packed_);
  ASSERT_EQ(block.linears[0].sizes().vec(), (std::vector<int64_t>{24, 12}));
  const float* loaded = block.linears[0].const_data_ptr<float>();
  EXPECT_TRUE(std::ranges::equal(expected, std::span(loaded, expected.size())));
  EXPECT_NE(loaded[0], loaded[1]);
  EXPECT_TRUE(at::equal(block.linears[1].flatten(),
                        values_of(source_of(tensors_, "model.layers.0.self_attn.k_proj.weight"))));
}

TEST_F(PackedSourceModelTest, APackedLinearOfAnotherShapeIsRefused) {
  replace_with_packed(query_, 12, 24);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(query_), HasSubstr("[12, 24]"), HasSubstr("[24, 12]")));
}

TEST_F(PackedSourceModelTest, AMissingPartIsRefused) {
  replace_with_packed(query_, 24, 12);
  drop(tensors_, query_ + ".col_gain");
  EXPECT_THAT(refusal(), HasSubstr(query_ + ".col_gain"));
}

}  // namespace
}  // namespace bitmill
