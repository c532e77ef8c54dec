#include "data/bpe.hpp"

#include <fmt/format.h>

#include <limits>
#include <queue>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
uint64_t BpeModel::pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

std::optional<int32_t> BpeModel::id_of(std::string_view token) const {
  const auto found = id_of_.find(token);
  return found == id_of_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string_view> BpeModel::token_of(int32_t id) const {
  const auto found = token_of_.find(id);
  return found == token_of_.end() ? std::nullopt : std::optional(found->second);
}

const BpeModel::Merge* BpeModel::merge_of(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void BpeModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  BITMILL_CHECK(word.size() < std::numeric_limits<int32_t>::max(), FormatError,
                fmt::format("a single word of {} bytes: at most 2^31 - 2 are supported; cut the "
                            "text into several lines of .jsonl or several files",
                            word.size()));
  if (ignore_merges_) {
    if (const std::optional<int32_t> whole = id_of(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  std::vector<Symbol> symbols = linked(characters_of(word));
  merge_all(symbols);
  for (const Symbol& symbol : symbols) {
    if (!symbol.gone) ids.push_back(symbol.id);
  }
}

std::vector<int32_t> BpeModel::characters_of(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  // An unknown token waits for the next known character, so that more of them can join it. Byte
  // tokens overtake it: that is what the `tokenizers` package does, and it happens only when some
  // byte tokens are missing.
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
    } else if (byte_fallback_ && append_byte_tokens(character, ids)) {
      continue;
    } else if (unknown_token_) {
      if (!fuse_unknown_) flush();
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
    const auto id = id_of(fmt::format("<0x{:02X}>", static_cast<uint8_t>(byte)));
    if (!id) {
      ids.resize(before);
      return false;
    }
    ids.push_back(*id);
  }
  return true;
}

int32_t BpeModel::unknown_id() const {
  const std::optional<int32_t> id = id_of(*unknown_token_);
  BITMILL_CHECK(id.has_value(), FormatError,
                fmt::format("{}: the text has a character that no token covers, and the unk_token "
                            "\"{}\" is not in the vocabulary",
                            where_, *unknown_token_));
  return *id;
}

std::vector<BpeModel::Symbol> BpeModel::linked(const std::vector<int32_t>& ids) {
  std::vector<Symbol> symbols;
  symbols.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t index = static_cast<int32_t>(i);
    symbols.push_back({ids[i], index - 1, i + 1 < ids.size() ? index + 1 : -1, false});
  }
  return symbols;
}

void BpeModel::merge_all(std::vector<Symbol>& symbols) const {
  // Lowest rank first, leftmost first among equals.
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  std::vector<Candidate> first;
  first.reserve(symbols.size());
  const auto candidate_at = [&](int32_t left, int32_t right) -> std::optional<Candidate> {
    const Merge* merge = merge_of(symbols[left].id, symbols[right].id);
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
    // The pair may have changed since it was queued. Compared by result, not by rank, as the
    // `tokenizers` package does.
    const Merge* merge = merge_of(left.id, right.id);
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
