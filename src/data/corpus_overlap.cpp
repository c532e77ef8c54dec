#include "data/corpus_overlap.hpp"

#include <algorithm>
#include <cassert>

namespace bitmill {
namespace {

// A polynomial in 2^64 over ids that were mixed first: the next stretch follows from the last one
// in two products. Plain ids would let small vocabularies collide.
constexpr uint64_t base_of_powers = 0x9E3779B97F4A7C15;  // odd

uint64_t mixed_id(int32_t id) {  // splitmix64
  uint64_t bits = static_cast<uint32_t>(id) + base_of_powers;
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
  return bits ^ (bits >> 31);
}

// Calls visit(hash) for every stretch of `length` tokens, until it returns true.
template <class Visit>
bool visit_stretches(std::span<const int32_t> ids, int64_t length, const Visit& visit) {
  uint64_t hash = 0, highest = 1;  // highest: base^length
  for (int64_t i = 0; i < length; ++i) highest *= base_of_powers;
  for (int64_t i = 0; i < std::ssize(ids); ++i) {
    hash = hash * base_of_powers + mixed_id(ids[static_cast<size_t>(i)]);
    if (i >= length) hash -= highest * mixed_id(ids[static_cast<size_t>(i - length)]);
    if (i + 1 >= length && visit(hash ^ static_cast<uint64_t>(length))) return true;
  }
  return false;
}

}  // namespace

void EvaluationText::add(std::span<const int32_t> ids) {
  assert(!ids.empty());
  const int64_t length = std::min<int64_t>(std::ssize(ids), stretch_tokens);
  visit_stretches(ids, length, [&](uint64_t hash) {
    hashes_.insert(hash);
    return false;
  });
  if (std::ranges::find(lengths_, length) == lengths_.end()) lengths_.push_back(length);
}

bool EvaluationText::shares_text_with(std::span<const int32_t> ids) const {
  return std::ranges::any_of(lengths_, [&](int64_t length) {
    return visit_stretches(ids, length, [&](uint64_t hash) { return hashes_.contains(hash); });
  });
}

}  // namespace bitmill
