#pragma once
// JSON with errors that name the file and the key. <nlohmann/json.hpp> is heavy: it is included by
// .cpp files only.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bitmill {

// `where` names the source in errors. Throws FormatError with the parser's words, also when the
// nesting is deeper than any file we read has a reason to be.
nlohmann::json parse_json(std::string_view text, const std::string& where);
// The same, and a key that occurs twice in one object is an error, as is nesting deeper than
// headers of tensors and config.json need. JSON itself lets the last one win, and two readers that
// disagree about which one wins see two different models.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);
// FormatError: the parser takes a zero byte for the end, whatever comes after it.
void refuse_zero_bytes(std::string_view text, const std::string& where);

// object[key], or FormatError naming `where` and the key when it is missing or of another type.
int64_t json_int(const nlohmann::json& object, const char* key, const std::string& where);
double json_number(const nlohmann::json& object, const char* key, const std::string& where);
std::string json_string(const nlohmann::json& object, const char* key, const std::string& where);
// The fallback is for a missing key or null; a wrong type is still an error.
int64_t json_int_or(const nlohmann::json& object, const char* key, int64_t fallback,
                    const std::string& where);
double json_number_or(const nlohmann::json& object, const char* key, double fallback,
                      const std::string& where);
bool json_bool_or(const nlohmann::json& object, const char* key, bool fallback,
                  const std::string& where);
std::string json_string_or(const nlohmann::json& object, const char* key,
                           const std::string& fallback, const std::string& where);

}  // namespace bitmill
