#pragma once
// The parts of a tokenizer.json (normalizer, pre_tokenizer, post_processor, decoder): objects with
// a "type", nested in objects of type "Sequence".

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/regex.hpp"

namespace bitmill {

// "type" of a part.
std::string part_type(const nlohmann::json& part, const std::string& where);

// The leaves of a part, in the order in which they are applied; none for null. `list_key` is the
// key of the list of parts in a Sequence of this kind. The pointers are valid as long as `part`
// lives.
std::vector<const nlohmann::json*> part_leaves(const nlohmann::json& part, const char* list_key,
                                               const std::string& where);

// Throws a FormatError: `where` asks for `what`, which is not supported; `supported` names what is.
[[noreturn]] void refuse_part(const std::string& where, const std::string& what,
                              const char* supported);

// Whether part["pattern"] is {"String": text}.
bool has_plain_pattern(const nlohmann::json& part);
// FormatError unless part["pattern"] is {"String": text} with a text that is not empty. Returns it.
std::string plain_pattern(const nlohmann::json& part, const std::string& where);

// part["pattern"], {"String": text} or {"Regex": expression}, as an expression.
Regex part_pattern(const nlohmann::json& part, const std::string& where);

}  // namespace bitmill
