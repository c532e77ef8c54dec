#pragma once
// What becomes of the keys of config.json that the reading of a model does not ask for. Each of
// them is known to change nothing, or known to change what is computed, or not known.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config_fields.hpp"

namespace bitmill {

// Call it when everything was read. Adds a problem for every key that nobody has read and that
// might change what is computed: one that is known to, with a value that does, and one that is not
// known and not in `allowed`. `inside`: "", or the name of the key whose object `fields` holds,
// with a dot ("rope_scaling."); keys in `allowed` begin with it.
//
// Adds to `used` which of `allowed` were needed.
void check_unread_keys(ConfigFields& fields, const std::string& inside,
                       std::span<const std::string> allowed, std::vector<std::string>& used);

// Why a key that the reading does not ask for changes nothing; empty for all others.
std::string_view why_neutral(const std::string& key);

}  // namespace bitmill
