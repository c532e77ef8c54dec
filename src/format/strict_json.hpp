#pragma once
// JSON in which a key that occurs twice in one object is an error. JSON itself lets the last one
// win, and two readers that disagree about which one wins see two different models.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bitmill {

// `where` names the source in errors. Throws FormatError.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);

}  // namespace bitmill
