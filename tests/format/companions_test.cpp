#include "format/companions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "format/error_matchers.hpp"
#include "format/safetensors_text.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Companions : public ::testing::Test {
 protected:
  Companions() {
    model_.write("model.safetensors", safetensors_text("{}", 0));
    model_.write("config.json", "{}");
  }
  std::vector<std::string> copied() {
    copy_companion_files(*files_, model_.path(), copy_.path());
    return files_->list(copy_.path());
  }
  std::vector<std::string> notes() {
    return companion_notes(*files_, TensorFolder(*files_, model_.path()));
  }

  const TempFolder model_, copy_;
  const std::unique_ptr<Files> files_ = posix_files();
};

TEST_F(Companions, ChatTemplatesInTheirFolderComeAlong) {
  model_.write("chat_template.jinja", "one");
  model_.write("additional_chat_templates/tool_use.jinja", "two");
  model_.write("additional_chat_templates/notes.html", "no template");
  EXPECT_THAT(copied(), ElementsAre("additional_chat_templates", "chat_template.jinja"));
  EXPECT_EQ(copy_.read("additional_chat_templates/tool_use.jinja"), "two");
  EXPECT_THAT(files_->list(copy_ / "additional_chat_templates"), ElementsAre("tool_use.jinja"));
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(Companions, AFolderOfAnotherNameIsLeftOutAndSaidAloud) {
  model_.write("original/params.json", "{}");
  model_.write(".cache/x", "");
  EXPECT_THAT(copied(), IsEmpty());
  EXPECT_THAT(notes(), ElementsAre(AllOf(HasSubstr("folders"), HasSubstr("original"),
                                         Not(HasSubstr(".cache")))));
}

TEST_F(Companions, WeightsThatAreNotReadAreSaidAloud) {
  model_.write("pytorch_model.bin", "");
  model_.write("consolidated.safetensors", "");
  EXPECT_THAT(copied(), IsEmpty());
  EXPECT_THAT(notes(), ElementsAre(HasSubstr("consolidated.safetensors, pytorch_model.bin")));
}

TEST_F(Companions, CodeAndFilesThatNobodyKnowsComeAlongAndAreSaidAloud) {
  model_.write("modeling_x.py", "");
  model_.write("quantize_config.json", "{}");
  model_.write("tokenizer.json", "{}");
  model_.write("LICENSE.txt", "");
  EXPECT_EQ(copied().size(), 4U);
  EXPECT_THAT(notes(),
              ElementsAre(AllOf(HasSubstr("Python code"), HasSubstr("modeling_x.py")),
                          AllOf(HasSubstr("does not know"), HasSubstr("quantize_config.json"),
                                Not(HasSubstr("tokenizer")), Not(HasSubstr("LICENSE")))));
}

TEST_F(Companions, ATemplateThatCannotBeReadIsAProblem) {
  model_.write("additional_chat_templates/x.jinja/file", "");  // a folder of that name
  EXPECT_THAT(companion_problems(*files_, model_.path()), ElementsAre(HasSubstr("x.jinja")));
}

TEST_F(Companions, AnAdapterIsRefusedWithTheTwoWaysOut) {
  EXPECT_NO_THROW(check_no_adapter(*files_, model_.path()));
  model_.write("adapter_config.json", "{}");
  EXPECT_THAT([&] { check_no_adapter(*files_, model_.path()); },
              throws_with<FormatError>("merge_and_unload"));
}

}  // namespace
}  // namespace bitmill
