#pragma once
// What the server knows of its model besides the weights: its name, tokenizer, chats, limits. From
// a request it makes the tasks of the batch.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/chat_template.hpp"
#include "data/tokenizer.hpp"
#include "data/tokenizer_config.hpp"
#include "model/config.hpp"
#include "serve/api_request.hpp"
#include "serve/text_batch.hpp"

namespace bitmill {

class ServedModel {
 public:
  // Reads tokenizer, end tokens and chat template of `folder`. `name`: as clients call the model.
  // `positions`: of one text, prompt included; at most the context. FormatError. A folder without
  // a chat template that is known can be served all the same: no_chat_reason() says why.
  ServedModel(Files& files, const std::string& folder, const ModelConfig& config, std::string name,
              int64_t positions);

  const std::string& name() const { return name_; }
  int64_t positions() const { return positions_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const TokenizerConfig& tokenizer_config() const { return tokenizer_config_; }
  const std::string& no_chat_reason() const { return no_chat_reason_; }  // empty: chats work

  // RequestError 404 when a request names another model.
  void check_name(const std::optional<std::string>& asked) const;
  // One task for each of the request's texts. RequestError 400, with figures, for a prompt without
  // tokens, with tokens of another vocabulary, or without room for what is to be written; and for
  // more log-probabilities than a request may ask for.
  std::vector<TextTask> tasks_of(const TextRequest& request) const;
  // RequestError 400 for a text that is not UTF-8.
  std::vector<int32_t> encode(const std::string& text, bool add_special) const;
  // RequestError 400 for a token that the model does not have.
  void check_ids(const std::vector<int32_t>& ids, const std::string& field) const;

 private:
  std::vector<int32_t> chat_prompt(const TextRequest& request) const;
  TextTask task_of(const TextRequest& request, std::vector<int32_t> prompt) const;

  const std::string name_;
  const int64_t positions_;
  const int64_t vocab_size_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const TokenizerConfig tokenizer_config_;
  const std::vector<int32_t> end_tokens_;
  std::optional<ChatTemplate> chat_;
  std::string no_chat_reason_;
};

}  // namespace bitmill
