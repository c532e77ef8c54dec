#pragma once
// JSON with errors that name the file and the key. <nlohmann/json.hpp> is slow to compile: only
// .cpp files include it.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace bitmill {

// `where` names the source in errors. Throws FormatError with the parser's words, also when objects
// are nested deeper than in any file that we read.
nlohmann::json parse_json(std::string_view text, const std::string& where);
// The same, but stricter: a key that occurs twice in one object is an error, and so is nesting
// deeper than tensor headers and config.json need. Reason for the first: some readers take the
// first of two equal keys, some the last, and they would see two different models.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);
// FormatError when `text` has a zero byte. The parser would take it for the end of the text and
// ignore what follows.
void refuse_zero_bytes(std::string_view text, const std::string& where);

// On one line. Bytes that are not UTF-8, which paths may hold, become U+FFFD. Numbers that are not
// finite become null.
std::string json_text(const nlohmann::ordered_json& value);

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
