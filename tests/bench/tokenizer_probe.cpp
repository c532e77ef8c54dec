// Runs a tokenizer for the scripts that compare it with the packages.
//
//   tokenizer_probe lines FOLDER < TEXTS    texts as JSON strings, one a line; for each a line
//                                           {"ids", "special", "text", "halves"}: ids without and
//                                           with special tokens, the text of the ids and of every
//                                           second id, decoded token by token
//   tokenizer_probe speed FOLDER FILE N     encodes FILE N times as one text, and N times line by
//                                           line, on one thread: {"whole_s": [..], "lines_s": [..]}

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <exception>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/tokenizer.hpp"

namespace {

using bitmill::Tokenizer;
using nlohmann::json;

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const auto stream = tokenizer.start_decoding(true);
  std::string text;
  for (const int32_t id : ids) text += stream->push(id);
  return text + stream->finish();
}

void encode_lines(const Tokenizer& tokenizer) {
  for (std::string line; std::getline(std::cin, line);) {
    const std::string text = json::parse(line).get<std::string>();
    const std::vector<int32_t> ids = tokenizer.encode(text, false);
    std::vector<int32_t> halves;
    for (size_t i = 0; i < ids.size(); i += 2) halves.push_back(ids[i]);
    const json result = {{"ids", ids},
                         {"special", tokenizer.encode(text, true)},
                         {"text", streamed(tokenizer, ids)},
                         {"halves", streamed(tokenizer, halves)}};
    std::cout << result.dump() << '\n';
  }
}

double seconds(const std::function<void()>& work) {
  // Of the processor: what else runs on the machine does not count.
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// A new tokenizer for every round, as the package's in speed_tokenizer.py: it remembers words.
void measure(bitmill::Files& files, const std::string& folder, const std::string& path,
             int rounds) {
  const std::string text = bitmill::read_text(files, path);
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    lines.push_back(text.substr(at, end - at));
    at = end;
  }
  json result = {{"whole_s", json::array()}, {"lines_s", json::array()}};
  for (int round = 0; round < rounds; ++round) {
    size_t tokens = 0;
    const auto whole = bitmill::open_tokenizer(files, folder);
    result["whole_s"].push_back(seconds([&] { tokens = whole->encode(text, false).size(); }));
    result["tokens"] = tokens;
    tokens = 0;
    const auto by_line = bitmill::open_tokenizer(files, folder);
    result["lines_s"].push_back(seconds([&] {
      for (const std::string& line : lines) tokens += by_line->encode(line, false).size();
    }));
    result["line_tokens"] = tokens;
  }
  std::cout << result.dump() << '\n';
}

int run(const std::vector<std::string>& words) {
  const auto files = bitmill::posix_files();
  if (words.size() == 3 && words[1] == "lines") {
    encode_lines(*bitmill::open_tokenizer(*files, words[2]));
  } else if (words.size() == 5 && words[1] == "speed") {
    measure(*files, words[2], words[3], std::stoi(words[4]));
  } else {
    std::fputs("usage: tokenizer_probe lines FOLDER | speed FOLDER FILE N\n", stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tokenizer_probe: %s\n", error.what());
    return 1;
  }
}
