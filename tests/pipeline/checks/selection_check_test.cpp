// Choices of blocks and linears that hit nothing.

#include "pipeline/checks/selection_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "model/config.hpp"
#include "model/tiny_model.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Selections : public testing::Test {
 protected:
  void use_blocks(int blocks) { config_["num_hidden_layers"] = blocks; }
  ModelConfig config() {
    folder_.write("model/config.json", config_.dump());
    return read_model_config(*files_, folder_ / "model");
  }
  std::string refusal(const char* ignore) {
    options_.ignore = ignore;
    try {
      check_selections(options_, config());
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }

  const TempFolder folder_;
  const std::unique_ptr<Files> files_ = posix_files();
  nlohmann::json config_ = test::tiny_config();
  QuantizeOptions options_;
};

TEST_F(Selections, WhatNamesLinearsPasses) {
  for (const char* fine : {"", "down_proj", "*.down_proj", "re:.*o_proj", "q_proj,k_proj",
                           "model.layers.1.mlp.up_proj"}) {
    EXPECT_EQ(refusal(fine), "") << fine;
  }
}

TEST_F(Selections, AnEntryThatNamesNothingIsRefusedWithTheNearestNames) {
  EXPECT_THAT(refusal("down_porj"),
              AllOf(HasSubstr("\"down_porj\" names none of the 14 linears"),
                    HasSubstr("such as model.layers.0.self_attn.q_proj.weight"),
                    HasSubstr("nearest to it are down_proj")));
  EXPECT_THAT(
      refusal("model.layers.7.mlp.down_proj"),
      AllOf(HasSubstr("names none"), HasSubstr("\"down_proj\" alone names those of all 2")));
  EXPECT_THAT(refusal("^down_proj$"), HasSubstr("\"down_proj\" alone"));
  EXPECT_THAT(refusal("transformer.h.*.mlp"), HasSubstr("names none"));
}

TEST_F(Selections, OfSeveralEntriesEachMustNameSomething) {
  EXPECT_THAT(
      refusal("q_proj,x_prog,k_proj,up_porj"),
      AllOf(HasSubstr("\"x_prog\""), HasSubstr("\"up_porj\""), Not(HasSubstr("\"q_proj\""))));
}

TEST_F(Selections, WhatIsNeverPackedIsNamedAsSuch) {
  EXPECT_THAT(refusal("lm_head"), HasSubstr("lm_head.weight, which is never packed"));
  EXPECT_THAT(refusal("re:.*lm_head"), HasSubstr("never packed"));
  EXPECT_THAT(refusal("embed_tokens"), HasSubstr("never packed"));
  EXPECT_THAT(refusal("input_layernorm"), HasSubstr("never packed"));
  config_["tie_word_embeddings"] = true;
  EXPECT_THAT(refusal("lm_head"), HasSubstr("never packed"));
}

TEST_F(Selections, BlocksBeyondThoseThatArePackedCannotBeDoneAgain) {
  options_.redo_blocks = {0, 1};
  EXPECT_EQ(refusal(""), "");
  options_.redo_blocks = {0, 2};
  EXPECT_THAT(refusal(""), HasSubstr("--redo-blocks 2: the blocks that are packed are 0 to 1"));
  options_.redo_blocks = {1};
  options_.max_blocks = 1;
  EXPECT_THAT(refusal(""), HasSubstr("0 to 0"));
}

// "layers.1" is also in the names of blocks 10 and 11.
TEST_F(Selections, NotesSayWhatEveryEntryKeeps) {
  use_blocks(12);
  options_.ignore = "layers.1.*down_proj,q_proj";
  EXPECT_THAT(
      selection_notes(options_, config()),
      ElementsAre(HasSubstr("keeps 3 of 84 linears as they are: down_proj in blocks 1, 10 to 11"),
                  HasSubstr("keeps 12 of 84 linears as they are: q_proj in blocks 0 to 11")));
}

TEST_F(Selections, MoreBlocksThanThereAreAreSaid) {
  options_.max_blocks = 2;
  EXPECT_THAT(selection_notes(options_, config()), IsEmpty());
  options_.max_blocks = 5;
  EXPECT_THAT(selection_notes(options_, config()),
              ElementsAre(HasSubstr("the model has 2 blocks")));
}

}  // namespace
}  // namespace bitmill
