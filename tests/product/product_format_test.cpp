#include "product/product_format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "product/product_cases.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::ThrowsMessage;

json config_with(json quantization) { return {{"quantization_config", std::move(quantization)}}; }

TEST(ProductFormat, AFolderThatQuantizeWroteIsFound) {
  const auto& format =
      find_product_format(config_with({{"quant_method", "ptq161"}, {"version", 1}}), "config.json");
  EXPECT_EQ(format.quant_method, "ptq161");
}

TEST(ProductFormat, AnotherMethodVersionOrGridIsRefusedWithWhatThereIs) {
  for (const json& other : {json{{"quant_method", "gptq"}, {"version", 1}},
                            json{{"quant_method", "ptq161"}, {"version", 2}},
                            json{{"quant_method", "ptq161"}, {"version", 1}, {"grid", "nf4"}}}) {
    EXPECT_THAT([&] { find_product_format(config_with(other), "here/config.json"); },
                ThrowsMessage<FormatError>(
                    testing::AllOf(HasSubstr("here/config.json"), HasSubstr("ptq161 version 1"))));
  }
}

TEST(ProductFormat, AFolderThatIsNotPackedIsRefused) {
  EXPECT_THAT([] { find_product_format(json::object(), "config.json"); },
              ThrowsMessage<FormatError>(HasSubstr("not a packed model")));
}

TEST(ProductFormat, ALinearOfAFolderIsReadAndMultiplied) {
  TempFolder folder;
  auto linear = std::make_shared<PackedLinear>(random_linear(17, 50, 10, 31).first);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto files = posix_files();
  write_safetensors(*files, folder / "model.safetensors", packed_tensors(name, linear), {});
  const TensorFolder tensors(*files, folder.path());
  const auto options = test::options_for(Activations::int8, "auto");
  const auto& format =
      find_product_format(config_with({{"quant_method", "ptq161"}, {"version", 1}}), "config.json");
  const auto product = format.read(tensors, name, 17, 50, options);
  const auto x = test::random_values(50, 32);
  EXPECT_EQ(test::multiplied(*product, x, 1),
            test::multiplied(*make_packed_product(*linear, name, options), x, 1));
}

}  // namespace
}  // namespace bitmill
