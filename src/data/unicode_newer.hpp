#pragma once
// Characters that are newer than the PCRE2 of Debian 12.

#include <string_view>

namespace bitmill {

// What Unicode 15 and 16 added to a general category ("Lu") of Unicode 14, which is what PCRE2
// 10.42 knows: the inside of a bracket expression. A newer PCRE2 holds them already.
std::string_view newer_members(std::string_view category);

}  // namespace bitmill
