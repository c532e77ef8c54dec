#include "comm/watch/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using Json = nlohmann::json;

constexpr const char* where = "a watchdog's message";

// Names of TroubleKind, in its order.
constexpr std::array<const char*, 4> kinds = {"lost", "silent", "stuck", "failed"};

Json sample_json(const RankSample& sample) {
  return {{"progress", sample.progress}, {"activity", sample.activity}, {"call", sample.call}};
}

RankSample read_sample(const Json& json) {
  return {static_cast<uint64_t>(json_int(json, "progress", where)),
          json_string(json, "activity", where), json_string(json, "call", where)};
}

Json report_json(const RankReport& report) {
  Json json = sample_json(report.last);
  json["rank"] = report.rank;
  json["host"] = report.host;
  json["heard_s"] = report.heard_s;
  json["still_s"] = report.still_s;
  return json;
}

RankReport read_report(const Json& json) {
  return {static_cast<int>(json_int(json, "rank", where)), json_string(json, "host", where),
          read_sample(json), json_number(json, "heard_s", where),
          json_number(json, "still_s", where)};
}

Json trouble_json(const Trouble& trouble) {
  Json reports = Json::array();
  for (const RankReport& report : trouble.reports) reports.push_back(report_json(report));
  return {{"kind", kinds[static_cast<size_t>(trouble.kind)]},
          {"judge", trouble.judge},
          {"ranks", trouble.ranks},
          {"seconds", trouble.seconds},
          {"exit_code", trouble.exit_code},
          {"reports", std::move(reports)}};
}

Trouble read_trouble(const Json& json) {
  const std::string kind = json_string(json, "kind", where);
  const auto* const found = std::find(kinds.begin(), kinds.end(), kind);
  BITMILL_CHECK(found != kinds.end(), FormatError,
                fmt::format("{}: \"{}\" is no kind of trouble", where, kind));
  BITMILL_CHECK(json.contains("reports") && json.contains("ranks"), FormatError,
                fmt::format("{}: a verdict without ranks or reports", where));
  Trouble trouble{.kind = static_cast<TroubleKind>(found - kinds.begin()),
                  .judge = static_cast<int>(json_int(json, "judge", where)),
                  .ranks = json.at("ranks").get<std::vector<int>>(),
                  .seconds = json_number(json, "seconds", where),
                  .exit_code = static_cast<int>(json_int(json, "exit_code", where)),
                  .reports = {}};
  for (const Json& report : json.at("reports")) trouble.reports.push_back(read_report(report));
  return trouble;
}

struct ToJson {
  Json operator()(const Hello& m) const {
    return {{"says", "hello"}, {"token", m.token}, {"rank", m.rank}};
  }
  Json operator()(const Welcome& m) const { return {{"says", "welcome"}, {"token", m.token}}; }
  Json operator()(const Beat& m) const {
    Json json = sample_json(m.sample);
    json["says"] = "beat";
    return json;
  }
  Json operator()(const Goodbye&) const { return {{"says", "goodbye"}}; }
  Json operator()(const Failing& m) const {
    return {{"says", "failing"}, {"rank", m.rank}, {"exit_code", m.exit_code}};
  }
  Json operator()(const Verdict& m) const {
    Json json = trouble_json(m.trouble);
    json["says"] = "verdict";
    return json;
  }
};

WatchMessage read_message(const Json& json) {
  const std::string says = json_string(json, "says", where);
  if (says == "beat") return Beat{read_sample(json)};
  if (says == "goodbye") return Goodbye{};
  if (says == "verdict") return Verdict{read_trouble(json)};
  if (says == "welcome") return Welcome{json_string(json, "token", where)};
  const auto whole = [&](const char* key) { return static_cast<int>(json_int(json, key, where)); };
  if (says == "hello") return Hello{json_string(json, "token", where), whole("rank")};
  if (says == "failing") return Failing{whole("rank"), whole("exit_code")};
  throw FormatError(fmt::format("{}: it says \"{}\"", where, says));
}

}  // namespace

std::string to_line(const WatchMessage& message) {
  return std::visit(ToJson(), message).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

WatchMessage parse_line(const std::string& line) {
  const Json json = parse_json(line, where);
  BITMILL_CHECK(json.is_object(), FormatError, fmt::format("{}: not an object", where));
  try {
    return read_message(json);
  } catch (const Json::exception& error) {
    throw FormatError(fmt::format("{}: {}", where, error.what()));
  }
}

}  // namespace bitmill
