// Anybody's .jsonl, .txt and file without an ending, read with a byte-level tokenizer of three
// tokens, for a model for chats (ChatML).

#include "data/token_text.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/m/tokenizer.json", R"({"model": {"type": "BPE", "merges": [["a", "b"]],
      "vocab": {"a": 0, "b": 1, "ab": 2}}, "pre_tokenizer": {"type": "ByteLevel"}})");
  files.put("/m/chat_template.jinja",
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
            "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt "
            "%}{{ '<|im_start|>assistant\n' }}{% endif %}");
  for (const char* path : {"/t.jsonl", "/t.txt", "/t"}) {
    files.put(path, std::string(fuzz::text_of(data, size)));
    fuzz::may_refuse([&] { read_tokens(files, path, "/m", 3); });
  }
  return 0;
}
