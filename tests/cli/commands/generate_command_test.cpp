// generate and bench as a user runs them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "product/cpu_kernel.hpp"
#include "program_run.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string small_model = BITMILL_SOURCE_DIR "/tests/data/books-2M";

class GenerateProgram : public ::testing::Test {
 protected:
  ProgramRun run(const std::string& words, const std::string& launcher = "") const {
    return run_program_in(folder_, launcher, words);
  }
  ProgramRun generate(const std::string& words) const {
    return run("generate --model " + small_model + " " + words);
  }
  void expect_refusal(const ProgramRun& result, const std::string& words, int code = 2) const {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, StartsWith("bitmill: error: "));
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(result.out, "");
  }
  // A copy of the small model, to be changed.
  std::string copied_model() const {
    std::filesystem::copy(small_model, folder_ / "model");
    return folder_ / "model";
  }
  TempFolder folder_;
};

TEST_F(GenerateProgram, TheTextGoesToStandardOutputAndFiguresToStandardError) {
  const ProgramRun plain = generate("--prompt 'It was a' --max-tokens 12");
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, StartsWith(" very good-natured, and I was"));
  EXPECT_THAT(plain.err, HasSubstr("kernel " + usable_cpu_kernels().front() + ", "));
  EXPECT_THAT(plain.err, Not(HasSubstr("prefill")));
  const ProgramRun stats = generate("--prompt 'It was a' --max-tokens 12 --stats");
  EXPECT_EQ(stats.out, plain.out);
  for (const char* part : {"prefill", "tokens/s", "kernel", "thread", "model in memory", "cache"}) {
    EXPECT_THAT(stats.err, HasSubstr(part));
  }
}

TEST_F(GenerateProgram, JsonHasTheTextTheNewIdsAndTheFigures) {
  const ProgramRun result = generate("--prompt 'It was a' --max-tokens 12 --json --threads 1");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json figures = json::parse(result.out);
  EXPECT_EQ(figures.at("tokens").size(), 12u);
  EXPECT_THAT(figures.at("text").get<std::string>(), StartsWith(" very good-natured"));
  EXPECT_EQ(figures.at("prompt_tokens"), 3);
  EXPECT_EQ(figures.at("finish"), "length");
  EXPECT_EQ(figures.at("threads"), 1);
  EXPECT_GT(figures.at("prefill_tokens_per_s"), 0);
  EXPECT_GT(figures.at("decode_tokens_per_s"), 0);
  EXPECT_GT(figures.at("resident_bytes"), 0);
  EXPECT_EQ(figures.at("cache_bytes"), 4 * 2 * 15 * 64 * 4)
      << "blocks, K and V, positions, float32";
  EXPECT_NE(figures.at("kernel"), "");
}

TEST_F(GenerateProgram, APromptComesFromAFileOrFromStandardInput) {
  const std::string whole = generate("--prompt 'It was a' --max-tokens 8").out;
  folder_.write("prompt.txt", "It was a\n");
  EXPECT_EQ(generate("--max-tokens 8 --prompt-file " + folder_ / "prompt.txt").out, whole);
  EXPECT_EQ(generate("--max-tokens 8 < " + folder_ / "prompt.txt").out, whole);
  EXPECT_EQ(run("generate --model " + small_model + " --max-tokens 8", "printf 'It was a' |").out,
            whole);
}

TEST_F(GenerateProgram, EveryBackendAndThreadCountWritesTheSame) {
  const std::string words = "--prompt 'It was a' --max-tokens 60 ";
  const std::string whole = generate(words).out;
  EXPECT_EQ(generate(words + "--threads 3").out, whole);
  EXPECT_EQ(generate(words + "--backend reference").out, whole);
  const std::string drawn = "--prompt 'It was a' --max-tokens 60 --temperature 1 --seed 3 ";
  EXPECT_EQ(generate(drawn + "--threads 3").out, generate(drawn + "--threads 1").out);
  EXPECT_NE(generate(drawn).out, whole);
}

TEST_F(GenerateProgram, BackendAutoIsTheCpuAndSaysSo) {
  const ProgramRun run = generate("--prompt 'It was a' --max-tokens 8 --backend auto");
  EXPECT_EQ(run.out, generate("--prompt 'It was a' --max-tokens 8").out);
  EXPECT_THAT(run.err, HasSubstr("bitmill generate: note: backend auto is cpu"));
}

TEST_F(GenerateProgram, AKernelCanBeForcedAndWritesTheSame) {
  const std::string words =
      "generate --model " + small_model + " --prompt 'It was a' --max-tokens 20 --json";
  const json tokens = json::parse(run(words).out).at("tokens");
  for (const std::string& kernel : usable_cpu_kernels()) {
    const ProgramRun result = run(words, "BITMILL_CPU_KERNEL=" + kernel);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(json::parse(result.out).at("kernel"), kernel);
    EXPECT_EQ(json::parse(result.out).at("tokens"), tokens) << kernel;
  }
  expect_refusal(run(words, "BITMILL_CPU_KERNEL=neon"), "there is no CPU kernel \"neon\" yet");
}

TEST_F(GenerateProgram, WrongValuesAreRefusedWithWhatIsExpected) {
  const std::pair<const char*, const char*> wrong[] = {
      {"--max-tokens 0", "--max-tokens: expected a whole number of at least 1, found \"0\""},
      {"--max-tokens x", "--max-tokens"},
      {"--temperature -1", "--temperature"},
      {"--temperature nan", "--temperature"},
      {"--top-k 5", "--top-k has no effect without --temperature"},
      {"--seed 5", "--seed has no effect"},
      {"--temperature 1 --top-k -1", "--top-k"},
      {"--temperature 1 --top-p 0", "--top-p: expected a number above 0 and at most 1"},
      {"--temperature 1 --top-p 1.5", "--top-p"},
      {"--temperature 1 --min-p 2", "--min-p"},
      {"--repetition-penalty 0", "--repetition-penalty"},
      {"--temperature 1 --seed -1", "--seed"},
      {"--stop ''", "--stop"},
      {"--stop '[1]'", "JSON list of texts"},
      {"--stop \"$(printf '\\251')\"", "--stop: the text is not UTF-8"},
      {"--activations int4", "expected int8 or int16 or float32"},
      {"--activations int16", "has no effect"},
      {"--head int4", "--head"},
      {"--backend cuda", "computes on the CPU alone; choose auto, cpu or reference"},
      {"--backend gpu", "expected auto or cpu or reference"},
      {"--backend reference --head int8", "--backend reference"},
      {"--context 513", "more than the context of"},
      {"--context 0", "--context"},
      {"--system x", "without --chat"},
      {"--prompt-file x", "both given"},
  };
  for (const auto& [words, message] : wrong) {
    expect_refusal(generate("--prompt 'It was a' " + std::string(words)), message);
  }
  expect_refusal(run("generate --prompt x"), "needs --model");
}

TEST_F(GenerateProgram, APromptThatIsTooLongIsRefusedWithFigures) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "a b ";
  folder_.write("long.txt", text);
  const ProgramRun result = generate("--prompt-file " + folder_ / "long.txt");
  expect_refusal(result, "which is more than the context of");
  EXPECT_THAT(result.err, HasSubstr("512; shorten it by"));
  expect_refusal(generate("--prompt 'It was a' --context 2"), "3 tokens, which is more than");
}

TEST_F(GenerateProgram, AFullContextIsSaid) {
  const ProgramRun result = generate("--prompt 'It was a' --max-tokens 100 --context 10");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the 10 positions of the cache are full"));
}

TEST_F(GenerateProgram, ATokenThatTheModelDoesNotHaveIsRefused) {
  const std::string model = copied_model();
  json tokenizer = json::parse(folder_.read("model/tokenizer.json"));
  tokenizer["added_tokens"].push_back({{"id", 2048},
                                       {"content", "<|extra|>"},
                                       {"single_word", false},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", false},
                                       {"special", true}});
  folder_.write("model/tokenizer.json", tokenizer.dump());
  const std::string words = "generate --max-tokens 3 --model " + model + " --prompt ";
  expect_refusal(run(words + "'It was <|extra|>'"), "token 2048");
  EXPECT_EQ(run(words + "'It was a'").exit_code, 0);
}

TEST_F(GenerateProgram, AFolderThatWasCutIsRefused) {
  const std::string model = copied_model();
  std::filesystem::resize_file(model + "/model.safetensors",
                               std::filesystem::file_size(model + "/model.safetensors") - 100);
  expect_refusal(run("generate --prompt x --model " + model), "model.safetensors", 1);
  expect_refusal(run("bench --model " + model), "model.safetensors", 1);
}

TEST_F(GenerateProgram, AChatWithoutATemplateIsRefusedWithAWayOut) {
  expect_refusal(generate("--chat --prompt Hello"), "has no chat template", 1);
}

TEST_F(GenerateProgram, AChatIsRenderedAndItsSpecialTokensAreTokens) {
  const std::string model = copied_model();
  json tokenizer = json::parse(folder_.read("model/tokenizer_config.json"));
  tokenizer["chat_template"] =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
      "+ '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>assistant\n' }}{% endif %}";
  folder_.write("model/tokenizer_config.json", tokenizer.dump());
  const std::string start = "generate --json --max-tokens 5 --model " + model;
  const ProgramRun chat = run(start + " --chat --system Short. --prompt Hello");
  ASSERT_EQ(chat.exit_code, 0) << chat.err;
  const ProgramRun rendered =
      run(start +
          " --prompt '<|im_start|>system\nShort.<|im_end|>\n<|im_start|>user\nHello"
          "<|im_end|>\n<|im_start|>assistant\n'");
  EXPECT_EQ(json::parse(chat.out).at("tokens"), json::parse(rendered.out).at("tokens"));
}

TEST_F(GenerateProgram, AReaderThatGoesAwayEndsItAtOnceWithOneSentence) {
  // The exit code of the program, not of the pipe's last part.
  const ProgramRun result =
      run("generate --model " + small_model + " --prompt 'It was a' --max-tokens 500; } 2>" +
              folder_ / "said" + "; echo $? >" + folder_ / "code; } | head -c 3; cat " +
              folder_ / "said" + "; cat " + folder_ / "code; }",
          "{ { {");
  EXPECT_THAT(result.out, StartsWith(" ve"));
  EXPECT_THAT(result.out, HasSubstr("cannot write the result to standard output: Broken pipe"));
  EXPECT_THAT(result.out, HasSubstr("\n1\n"));
}

TEST_F(GenerateProgram, ABrokenPackedFolderIsRefusedAndAWholeOneWrites) {
  const std::string packed = folder_ / "packed";
  ASSERT_EQ(
      run("quantize --samples 4 --seq-len 32 --epochs 1 --max-blocks 1 --model " + small_model +
          " --calib " BITMILL_SOURCE_DIR "/tests/data/books/calib.txt "
          "--output-dir " +
          packed)
          .exit_code,
      0);
  const std::string words = "generate --prompt 'It was a' --max-tokens 9 --json --model " + packed;
  for (const char* precision : {"int8", "int16", "float32"}) {
    const ProgramRun result = run(words + " --activations " + precision);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(json::parse(result.out).at("tokens").size(), 9u);
  }
  const ProgramRun bench = run("bench --json --repeats 1 --decode-tokens 4 --model " + packed);
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  const json figures = json::parse(bench.out);
  for (const char* key : {"prefill_tokens_per_s", "decode_tokens_per_s", "resident_bytes",
                          "weight_bytes", "decode_bytes_per_s", "threads"}) {
    EXPECT_GT(figures.at(key), 0) << key;
  }
  EXPECT_NE(figures.at("kernel"), "");

  std::string bytes = folder_.read("packed/model.safetensors");
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  folder_.write("packed/model.safetensors", bytes);
  expect_refusal(run(words), "model.safetensors", 1);
}

TEST_F(GenerateProgram, BenchPrintsATableAndRefusesWhatDoesNotFit) {
  const ProgramRun result = run("bench --repeats 1 --decode-tokens 3 --model " + small_model);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part :
       {"prefill", "decode", "tokens/s", "bytes/s", "kernel", "model in memory"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
  expect_refusal(run("bench --prompt-tokens 512 --model " + small_model),
                 "together are more than the context");
  expect_refusal(run("bench --repeats 0 --model " + small_model), "--repeats");
}

}  // namespace
}  // namespace bitmill
