#include "data/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <new>

#include "base/error.hpp"

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

Regex::Regex(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_ =
      UniqueHandle<CodeTraits>(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()),
                                             pattern.size(), PCRE2_UTF, &error, &offset, nullptr));
  BITMILL_CHECK(code_.get() != nullptr, Error,
                fmt::format("PCRE2 refuses the expression \"{}\" at byte {}: {}", pattern, offset,
                            words_of(error)));
  // Only faster: a library without a compiler for this machine interprets the same expression.
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::split(std::string_view text, const std::function<void(std::string_view)>& piece) const {
  const UniqueHandle<MatchDataTraits> data(pcre2_match_data_create(1, nullptr));
  if (data.get() == nullptr) throw std::bad_alloc();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;
  while (done < text.size()) {
    const int found = pcre2_match(code_.get(), subject, text.size(), done,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, data.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) break;
    BITMILL_CHECK(found >= 0, Error,
                  fmt::format("PCRE2 fails at byte {} of a text of {}: {}", done, text.size(),
                              words_of(found)));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    if (range[0] > done) piece(text.substr(done, range[0] - done));
    piece(text.substr(range[0], range[1] - range[0]));
    done = range[1];
  }
  if (done < text.size()) piece(text.substr(done));
}

}  // namespace bitmill
