#pragma once
// The normal forms of Unicode (utf8proc), as the `tokenizers` package 0.23 computes them. The
// package knows the marks and compositions of Unicode 9 and does not change younger characters.

#include <optional>
#include <string>
#include <string_view>

namespace bitmill {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// "NFC" and so on.
std::optional<NormalForm> normal_form_of(std::string_view name);

// `text` is valid UTF-8.
std::string to_normal_form(std::string_view text, NormalForm form);

}  // namespace bitmill
