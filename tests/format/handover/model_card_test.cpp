#include "format/handover/model_card.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

CardFacts some_facts() {
  CardFacts facts;
  facts.base_name = "books-2M";
  facts.version = "1.2.3";
  facts.recipe = "parallel";
  facts.calibration = "64 windows of 256 tokens, 20 epochs per block";
  facts.linears = 28;
  facts.bits_per_weight = 1.94304;
  facts.bits_per_parameter = 4.95;
  facts.file_bytes = 1217464;
  return facts;
}

TEST(ModelCard, FrontMatterComesFirstAndHasOnlyWhatIsKnown) {
  EXPECT_THAT(model_card(some_facts()),
              AllOf(StartsWith("---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
                               "tags:\n- bitmill\n- ptq161\n- quantized\n- low-bit\n---\n"),
                    Not(HasSubstr("\nbase_model")), Not(HasSubstr("\nlicense"))));
  CardFacts facts = some_facts();
  facts.hub_id = "us/books-2M";
  facts.source = {"SOURCE_README.md", "other", "own", "https://x.org", "SOURCE_README.md", {}};
  EXPECT_THAT(model_card(facts),
              AllOf(HasSubstr("\nbase_model: us/books-2M\nbase_model_relation: quantized\n"
                              "license: other\nlicense_name: own\nlicense_link: https://x.org\n"),
                    HasSubstr("base model's own card is `SOURCE_README.md`")));
}

TEST(ModelCard, TheFiguresAreThere) {
  EXPECT_THAT(model_card(some_facts()),
              AllOf(HasSubstr("# books-2M, packed to 1.94 bits per weight\n"),
                    HasSubstr("every stored bit counted | 1.9430 |"), HasSubstr("| 1217464 |"),
                    HasSubstr("| `parallel` |"), HasSubstr("bitmill 1.2.3"),
                    HasSubstr("64 windows of 256 tokens")));
}

TEST(ModelCard, OnlyWhatWasMeasuredIsCalledMeasured) {
  EXPECT_THAT(model_card(some_facts()),
              AllOf(HasSubstr("Nothing was measured"), Not(HasSubstr("Divergence (KL)"))));
  CardFacts facts = some_facts();
  facts.tuning = CardFacts::Tuning{6, 4, 1.5, 0.25};
  EXPECT_THAT(model_card(facts), AllOf(HasSubstr("1.5000 nats before tuning, 0.2500 after"),
                                       HasSubstr("6 epochs; the values after epoch 4 were kept"),
                                       Not(HasSubstr("Nothing was measured"))));
}

TEST(ModelCard, AnExportSaysThatItIsOneAndNamesNoKeyThatItLacks) {
  CardFacts facts = some_facts();
  facts.exported_dtype = "float16";
  EXPECT_THAT(model_card(facts),
              AllOf(HasSubstr("unpacked to float16"), HasSubstr("of the packed folder | 1.9430 |"),
                    Not(HasSubstr("trust_remote_code")), Not(HasSubstr("low-bit"))));
}

TEST(ModelCard, OneCardIsTheBaseModelsAndTheLicenceIsTheOneThatACardNames) {
  CardFacts facts = some_facts();
  facts.source.file = "SOURCE_README.md";
  facts.source.others = {"SOURCE_README.2.md"};
  EXPECT_THAT(model_card(facts),
              AllOf(HasSubstr("own card is `SOURCE_README.md`. `SOURCE_README.2.md` is a card that "
                              "came with the model. "),
                    HasSubstr("holds for this folder too; no card names one")));
  facts.source.license = "mit";
  facts.source.license_file = "SOURCE_README.2.md";
  EXPECT_THAT(model_card(facts), HasSubstr("too: `mit`, says `SOURCE_README.2.md`.\n"));
  facts.source.license_file = "SOURCE_README.md";
  EXPECT_THAT(model_card(facts), HasSubstr("too: `mit`.\n"));
}

TEST(ModelCard, AFolderOfAnOddNameBreaksNeitherTableNorCode) {
  CardFacts facts = some_facts();
  facts.base_name = "a|b`c\nd";
  EXPECT_THAT(model_card(facts), HasSubstr("| base model | `a_b_c_d` |\n"));
}

}  // namespace
}  // namespace bitmill
