#include "data/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <new>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

struct MatchDataTraits {
  using Type = pcre2_match_data*;
  static Type null() { return nullptr; }
  static void destroy(Type data) { pcre2_match_data_free(data); }
};

std::string words_of(int code) {
  std::array<PCRE2_UCHAR, 256> buffer = {};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return std::string(reinterpret_cast<const char*>(buffer.data()));
}

}  // namespace

void Regex::CodeTraits::destroy(Type code) { pcre2_code_free(code); }

Regex::Regex(const std::string& pattern, const std::string& where) : where_(where) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_ =
      UniqueHandle<CodeTraits>(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                             pattern.size(), PCRE2_UTF, &error, &offset, nullptr));
  BITMILL_CHECK(code_.get() != nullptr, FormatError,
                fmt::format("{}: PCRE2 refuses the expression, \"{}\" to it, at byte {}: {}", where,
                            pattern, offset, words_of(error)));
  // For speed only: where the library cannot compile for this machine, it interprets the same
  // expression.
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::find_all(std::string_view text,
                     const std::function<void(size_t, size_t)>& match) const {
  const UniqueHandle<MatchDataTraits> data(pcre2_match_data_create(1, nullptr));
  if (data.get() == nullptr) throw std::bad_alloc();
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t last_end = text.npos;  // of the previous match
  for (size_t from = 0; from <= text.size();) {
    int found = pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, data.get(),
                            nullptr);
    // The interpreter takes its memory from the heap, so it can handle longer texts.
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_.get(), subject, text.size(), from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), nullptr);
    }
    if (found == PCRE2_ERROR_NOMATCH) return;
    BITMILL_CHECK(found >= 0, FormatError,
                  fmt::format("{}: PCRE2 gives up on the expression at byte {} of a text of {}: {}",
                              where_, from, text.size(), words_of(found)));
    if (range[0] == range[1] && range[1] == last_end) {
      from += from < text.size() ? utf8_char_bytes(text.substr(from)) : 1;
      continue;
    }
    match(range[0], range[1]);
    from = last_end = range[1];
  }
}

}  // namespace bitmill
