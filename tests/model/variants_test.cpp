// Folders that say the same model in another way: tests/golden/models/variants.json. The logits are
// those of the model they are made of; check_variants.py there holds transformers to the same.

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "format/config_file.hpp"
#include "format/safetensors_writer.hpp"
#include "model/golden_files.hpp"
#include "model/one_thread.hpp"
#include "model/tiny_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const std::string variants_folder = BITMILL_SOURCE_DIR "/tests/golden/models/";

json variants() {
  return json::parse(read_text(*posix_files(), variants_folder + "variants.json"));
}

// The folder of the model that `variant` is made of, with the changes.
void make_variant(Files& files, const json& variant, const std::string& folder) {
  const std::string base = variants_folder + variant.at("base").get<std::string>();
  json config = read_config_json(files, base);
  config.update(variant.value("set", json::object()));
  const TensorFolder tensors(files, base);
  std::vector<TensorSource> sources;
  const json renames = variant.value("rename", json::object());
  for (const std::string& name : tensors.names()) {
    const TensorInfo& info = tensors.info(name);
    sources.push_back({renames.value(name, name), info.dtype, info.shape, copy_of(tensors, name)});
  }
  test::write_model(files, folder, config, sources);
}

class Variant : public testing::TestWithParam<json> {};

TEST_P(Variant, HasTheLogitsOfTheModelItIsMadeOf) {
  const auto files = posix_files();
  const test::ScratchFolder folder;
  make_variant(*files, GetParam(), folder.path());
  const test::Golden golden = test::read_golden(
      *files, variants_folder + GetParam().at("base").get<std::string>() + ".golden.safetensors");
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  const at::Tensor logits =
      test::compute_logits(SourceModel(*files, folder.path()), golden.ids, pool);
  const at::Tensor rows = at::empty_like(golden.logits);
  for (size_t i = 0; i < golden.rows.size(); ++i) {
    rows[static_cast<int64_t>(i)] = logits[golden.rows[i]];
  }
  EXPECT_LT((rows - golden.logits).abs().max().item<float>(),
            1e-5F * golden.logits.abs().max().item<float>());
}

INSTANTIATE_TEST_SUITE_P(Models, Variant, testing::ValuesIn(variants().get<std::vector<json>>()),
                         [](const auto& tested) {
                           return tested.param.at("name").template get<std::string>();
                         });

}  // namespace
}  // namespace bitmill
