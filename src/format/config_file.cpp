#include "format/config_file.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

constexpr int64_t largest_config = int64_t{16} << 20;  // bytes; real ones have a few thousand

}  // namespace

nlohmann::json read_config_json(Files& files, const std::string& folder) {
  BITMILL_CHECK(files.is_directory(folder), FileError,
                fmt::format("cannot open the model folder {}: there is no such folder", folder));
  const std::string path = join_path(folder, "config.json");
  BITMILL_CHECK(files.exists(path), FormatError,
                fmt::format("{} has no config.json: it is not a model folder, or was not "
                            "downloaded completely",
                            folder));
  nlohmann::json config = parse_strict_json(read_text(files, path, largest_config), path);
  BITMILL_CHECK(config.is_object(), FormatError, path + ": must hold a JSON object");
  return config;
}

}  // namespace bitmill
