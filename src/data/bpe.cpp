#include "data/bpe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <queue>

#include "base/error.hpp"
#include "data/byte_level.hpp"
#include "data/token_model.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

// Up to this length, a new search for the lowest rank after every merge is faster than a heap.
constexpr size_t longest_short_word = 24;  // characters

}  // namespace

BpeModel::BpeModel(const BpeTables& tables)
    : merges_(tables.merges.size()), options_(tables.options), where_(tables.tokens_where) {
  id_of_.reserve(tables.tokens.size());
  token_of_.reserve(tables.tokens.size());
  for (const auto& [token, id] : tables.tokens) add_token(token, id, tables.tokens_where);
  for (const BpeTables::Merge& merge : tables.merges) add_merge(merge, tables.merges_where);
  find_byte_tokens();
}

void BpeModel::add_token(std::string_view token, int32_t id, const std::string& where) {
  const auto [place, is_new_token] = id_of_.emplace(token, id);
  BITMILL_CHECK(
      is_new_token, FormatError,
      fmt::format("{}: token \"{}\" has the ids {} and {}", where, token, place->second, id));
  const auto [other, is_new] = token_of_.emplace(id, place->first);
  BITMILL_CHECK(is_new, FormatError,
                fmt::format("{}: tokens \"{}\" and \"{}\" have the same id {}", where,
                            other->second, token, id));
  largest_id_ = std::max(largest_id_, id);
}

void BpeModel::add_merge(const BpeTables::Merge& merge, const std::string& where) {
  const std::string result = std::string(merge.left) + std::string(merge.right);
  std::array<int32_t, 3> ids = {};
  const std::array<std::string_view, 3> tokens = {merge.left, merge.right, result};
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::optional<int32_t> id = id_of(tokens[i]);
    BITMILL_CHECK(id.has_value(), FormatError,
                  fmt::format("{}: merge {} (\"{}\" + \"{}\") needs the token \"{}\", which is not "
                              "in the vocabulary",
                              where, merge.rank, merge.left, merge.right, tokens[i]));
    ids[i] = *id;
  }
  merges_.set(ids[0], ids[1], {merge.rank, ids[2]});
}

void BpeModel::find_byte_tokens() {
  for (size_t byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    alphabet_id_[byte] = id_of(bytes_to_characters({&character, 1}));
    if (options_.byte_fallback) fallback_id_[byte] = id_of(fmt::format("<0x{:02X}>", byte));
  }
}

std::optional<int32_t> BpeModel::id_of(std::string_view token) const {
  const auto found = id_of_.find(token);
  return found == id_of_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> BpeModel::token_of(int32_t id) const {
  const auto found = token_of_.find(id);
  return found == token_of_.end() ? std::nullopt : std::optional(found->second);
}

bool BpeModel::begins_tokens_only(std::string_view character) const {
  for (const auto& [token, id] : id_of_) {
    if (holds_behind_another(token, character)) return false;
  }
  // If `character` were unknown, it could fuse with its neighbour: a cut would change the ids.
  return id_of(character).has_value();
}

void BpeModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  BITMILL_CHECK(word.size() < std::numeric_limits<int32_t>::max(), FormatError,
                fmt::format("a single word of {} bytes: at most 2^31 - 2 are supported; cut the "
                            "text into several lines of .jsonl or several files",
                            word.size()));
  if (options_.ignore_merges) {
    if (const std::optional<int32_t> whole = id_of(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  merge_all(characters_of(word), ids);
}

void BpeModel::encode_bytes(std::string_view word, std::vector<int32_t>& ids) const {
  std::vector<int32_t> characters;
  characters.reserve(word.size());
  for (const char byte : word) {
    const std::optional<int32_t> id = alphabet_id_[static_cast<uint8_t>(byte)];
    // encode() is slower, but handles a byte that is not in the vocabulary (as an unknown token).
    if (!id || options_.ignore_merges) return encode(bytes_to_characters(word), ids);
    characters.push_back(*id);
  }
  merge_all(characters, ids);
}

std::vector<int32_t> BpeModel::characters_of(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  // An unknown token waits until a known character comes, so that further unknown ones can join it.
  // Byte tokens are written before a waiting one. The `tokenizers` package does so too; it happens
  // only when some byte tokens are missing.
  constexpr int32_t none = -1;
  int32_t waiting = none;
  const auto flush = [&] {
    if (waiting != none) ids.push_back(waiting);
    waiting = none;
  };
  for (size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, utf8_char_bytes(word.substr(at)));
    at += character.size();
    if (const std::optional<int32_t> id = id_of(character)) {
      flush();
      ids.push_back(*id);
    } else if (options_.byte_fallback && append_byte_tokens(character, ids)) {
      continue;
    } else if (options_.unknown_token) {
      if (!options_.fuse_unknown) flush();
      waiting = unknown_id();
    }  // else: a vocabulary without an unknown token drops the character
  }
  flush();
  return ids;
}

// The character as one token "<0xHH>" per byte, or nothing when the vocabulary lacks one of them.
bool BpeModel::append_byte_tokens(std::string_view character, std::vector<int32_t>& ids) const {
  const size_t before = ids.size();
  for (const char byte : character) {
    const std::optional<int32_t> id = fallback_id_[static_cast<uint8_t>(byte)];
    if (!id) {
      ids.resize(before);
      return false;
    }
    ids.push_back(*id);
  }
  return true;
}

int32_t BpeModel::unknown_id() const {
  const std::optional<int32_t> id = id_of(*options_.unknown_token);
  BITMILL_CHECK(id.has_value(), FormatError,
                fmt::format("{}: the text has a character that no token covers, and the unk_token "
                            "\"{}\" is not in the vocabulary",
                            where_, *options_.unknown_token));
  return *id;
}

// Lowest rank first, leftmost first among equals.
void BpeModel::merge_all(const std::vector<int32_t>& characters, std::vector<int32_t>& ids) const {
  if (characters.size() > longest_short_word) return merge_long(characters, ids);
  std::array<int32_t, longest_short_word> symbols;
  std::array<MergeTable::Merge, longest_short_word> merges;  // of a symbol and the next
  size_t count = characters.size();
  constexpr MergeTable::Merge none = {std::numeric_limits<int32_t>::max(), 0};
  const auto merge_at = [&](size_t i) {
    const MergeTable::Merge* merge = merges_.find(symbols[i], symbols[i + 1]);
    return merge == nullptr ? none : *merge;
  };
  std::copy(characters.begin(), characters.end(), symbols.begin());
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = merge_at(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == none.rank) break;
    symbols[best] = merges[best].id;
    std::copy(symbols.begin() + best + 2, symbols.begin() + count, symbols.begin() + best + 1);
    std::copy(merges.begin() + best + 1, merges.begin() + count - 1, merges.begin() + best);
    --count;
    if (best > 0) merges[best - 1] = merge_at(best - 1);
    if (best + 1 < count) merges[best] = merge_at(best);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + count);
}

void BpeModel::merge_long(const std::vector<int32_t>& characters, std::vector<int32_t>& ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(characters.size());
  for (size_t i = 0; i < characters.size(); ++i) {
    const int32_t index = static_cast<int32_t>(i);
    symbols.push_back(
        {characters[i], index - 1, i + 1 < characters.size() ? index + 1 : -1, false});
  }
  merge_symbols(symbols);
  for (const Symbol& symbol : symbols) {
    if (!symbol.gone) ids.push_back(symbol.id);
  }
}

void BpeModel::merge_symbols(std::vector<Symbol>& symbols) const {
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  std::vector<Candidate> first;
  first.reserve(symbols.size());
  const auto candidate_at = [&](int32_t left, int32_t right) -> std::optional<Candidate> {
    const MergeTable::Merge* merge = merges_.find(symbols[left].id, symbols[right].id);
    if (merge == nullptr) return std::nullopt;
    return Candidate{merge->rank, left, merge->id};
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    const int32_t left = static_cast<int32_t>(i);
    if (const auto candidate = candidate_at(left, left + 1)) first.push_back(*candidate);
  }
  std::priority_queue<Candidate, std::vector<Candidate>, decltype(later)> queue(later,
                                                                                std::move(first));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.position];
    if (left.gone || left.next == -1) continue;
    Symbol& right = symbols[left.next];
    // The pair may have changed since it was queued. Its result is then another, longer token.
    const MergeTable::Merge* merge = merges_.find(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) continue;

    left.id = best.id;
    left.next = right.next;
    right.gone = true;
    if (left.next != -1) symbols[left.next].previous = best.position;
    if (left.previous != -1) {
      if (const auto before = candidate_at(left.previous, best.position)) queue.push(*before);
    }
    if (left.next != -1) {
      if (const auto after = candidate_at(best.position, left.next)) queue.push(*after);
    }
  }
}

}  // namespace bitmill
