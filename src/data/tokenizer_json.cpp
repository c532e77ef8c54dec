// tokenizer.json of the `tokenizers` package.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/chained_tokenizer.hpp"
#include "data/tokenizer_kinds.hpp"
#include "data/tokens_beside.hpp"
#include "data/word_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const json& part(const json& root, const char* key) {
  static const json nothing;
  const auto found = root.find(key);
  return found == root.end() ? nothing : *found;
}

}  // namespace

std::unique_ptr<Tokenizer> read_tokenizer_json(Files& files, const std::string& path) {
  const json root = parse_json(read_text(files, path), path);
  BITMILL_CHECK(root.is_object(), FormatError, fmt::format("{}: must be an object", path));
  Normalizer normalizer(part(root, "normalizer"), path);
  auto model = std::make_unique<WordModel>(PreTokenizer(part(root, "pre_tokenizer"), path),
                                           read_bpe_json(part(root, "model"), path));
  const std::string where = path + ": added_tokens";
  AddedTokens added(with_tokens_beside(files, parent_path(path),
                                       read_added_tokens(part(root, "added_tokens"), where)),
                    *model, normalizer, where);
  return make_tokenizer({std::move(normalizer), std::move(model), std::move(added),
                         SequenceTemplate(part(root, "post_processor"), path),
                         Decoder(part(root, "decoder"), path)});
}

}  // namespace bitmill
