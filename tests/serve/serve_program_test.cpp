// The program itself: what it says, how it ends.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "program_run.hpp"
#include "serve/served_house.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// `bitmill serve` of books-2M as a process of its own.
class Serving {
 public:
  explicit Serving(const std::vector<std::string>& more) {
    std::vector<std::string> words = {
        BITMILL_PROGRAM, "serve", "--model", test::SmallModels::folder, "--port", "0", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("pipe");
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      const int err = ::open((folder_ / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(err, STDERR_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execv(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    std::FILE* out = ::fdopen(ends[0], "r");
    char line[4096] = "";
    if (std::fgets(line, sizeof line, out) != nullptr) says_ = json::parse(line);
    std::fclose(out);
  }
  ~Serving() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  const json& says() const { return says_; }
  int port() const { return test::port_of(says_.at("address")); }
  void signal(int number) const { ::kill(child_, number); }
  // Its exit code; -1 when a signal ended it.
  int wait() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string err() const { return folder_.read("err"); }

 private:
  const TempFolder folder_;
  pid_t child_ = 0;
  json says_;
};

const std::string long_stream =
    R"({"prompt": "It was a", "max_tokens": 500, "stream": true, "seed": 1})";

TEST(ServeProgram, ItSaysWhatItServesAndEndsWithTheTextThatIsBeingWritten) {
  Serving serving({"--threads", "1", "--log-every", "1"});
  ASSERT_TRUE(serving.says().is_object()) << serving.err();
  for (const char* key : {"address", "kernel", "resident_bytes", "cache_bytes", "places"}) {
    EXPECT_TRUE(serving.says().contains(key)) << key;
  }
  EXPECT_EQ(serving.says().at("model"), "books-2M");
  test::RawClient client(serving.port());
  client.send(test::post_text("/v1/completions", long_stream));
  std::string got = client.receive("data: ");
  serving.signal(SIGTERM);
  got += client.receive();
  EXPECT_THAT(got, HasSubstr("[DONE]"));
  EXPECT_EQ(serving.wait(), 0) << serving.err();
  EXPECT_THAT(serving.err(), HasSubstr("SIGTERM: requests that are being answered"));
  EXPECT_THAT(serving.err(), HasSubstr("bitmill serve: ended"));
}

TEST(ServeProgram, AfterItsTimeATextIsCutAndTheClientToldSo) {
  Serving serving({"--threads", "1", "--grace", "0"});
  ASSERT_TRUE(serving.says().is_object()) << serving.err();
  test::RawClient client(serving.port()), idle(serving.port());
  client.send(test::post_text("/v1/completions", long_stream));
  std::string got = client.receive("data: ");
  serving.signal(SIGINT);
  got += client.receive();
  EXPECT_THAT(got, HasSubstr("the server is being stopped"));
  EXPECT_THAT(got, testing::Not(HasSubstr("[DONE]")));
  EXPECT_EQ(serving.wait(), 0) << serving.err();
  EXPECT_THAT(serving.err(), HasSubstr("1 text cut off after --grace 0"));
}

TEST(ServeProgram, TheKeyComesFromAFileOrTheEnvironmentAndFromOneOfThem) {
  const TempFolder folder;
  const std::string key = folder.write("key", "abc123\n");
  Serving serving({"--key-file", key});
  ASSERT_TRUE(serving.says().is_object()) << serving.err();
  EXPECT_EQ(serving.says().at("key"), true);
  EXPECT_EQ(test::get(serving.port(), "/v1/models").status, 401);
  EXPECT_EQ(test::get(serving.port(), "/v1/models", "Authorization: Bearer abc123\r\n").status,
            200);
  const std::string words = std::string("serve --port 0 --model ") + test::SmallModels::folder;
  const auto both = run_program_in(folder, "env BITMILL_API_KEY=x", words + " --key-file " + key);
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("both give a key"));
  const auto blank = run_program_in(folder, "env BITMILL_API_KEY='a b'", words);
  EXPECT_EQ(blank.exit_code, 2);
  EXPECT_THAT(blank.err, HasSubstr("without blanks"));
}

TEST(ServeProgram, WhatCannotBeServedIsRefusedBeforeItListens) {
  const TempFolder folder;
  const auto refusal = [&](const std::string& words) {
    const auto run = run_program_in(
        folder, "",
        std::string("serve --port 0 --model ") + test::SmallModels::folder + " " + words);
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_EQ(run.out, "");
    return run.err;
  };
  EXPECT_THAT(refusal("--backend reference"), HasSubstr("depend on who else asks"));
  EXPECT_THAT(refusal("--context 100000"), HasSubstr("more than the context"));
  EXPECT_THAT(refusal("--places 0"), HasSubstr("--places"));
  EXPECT_THAT(refusal("--max-body 10"), HasSubstr("--max-body"));
  EXPECT_THAT(refusal("--port 70000"), HasSubstr("--port"));
}

}  // namespace
}  // namespace bitmill
