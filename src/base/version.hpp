#pragma once

#include <string_view>

namespace bitmill {

inline constexpr std::string_view version = BITMILL_VERSION;

}  // namespace bitmill
