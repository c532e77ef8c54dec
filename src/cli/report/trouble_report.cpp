#include "cli/report/trouble_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

constexpr size_t most_lines = 16;  // of ranks; the JSON has all

const char* word_of(TroubleKind kind) {
  switch (kind) {
    case TroubleKind::lost:
      return "lost";
    case TroubleKind::silent:
      return "silent";
    case TroubleKind::stuck:
      return "stuck";
    case TroubleKind::failed:
      return "failed";
  }
  return "unknown";
}

const RankReport* find_report(const Trouble& trouble, int rank) {
  const auto found = std::ranges::find(trouble.reports, rank, &RankReport::rank);
  return found == trouble.reports.end() ? nullptr : &*found;
}

std::string doing(const RankSample& last) {
  const std::string activity = last.activity.empty() ? "no known activity" : last.activity;
  return last.call.empty() ? activity : fmt::format("{} ({})", activity, last.call);
}

// "rank 2 on n1 and rank 5 on n3"
std::string blamed(const Trouble& trouble) {
  std::vector<std::string> names;
  for (const int rank : trouble.ranks) {
    if (names.size() == most_lines) break;
    const RankReport* const report = find_report(trouble, rank);
    names.push_back(report ? fmt::format("rank {} on {}", rank, report->host)
                           : fmt::format("rank {}", rank));
  }
  std::string text = fmt::format("{}", fmt::join(names, " and "));
  if (names.size() < trouble.ranks.size()) {
    text += fmt::format(" and {} more", trouble.ranks.size() - names.size());
  }
  return text;
}

// What the first blamed rank did last.
std::string last_place(const Trouble& trouble) {
  const RankReport* const report = find_report(trouble, trouble.ranks.front());
  return report ? fmt::format("; it was last in {}", doing(report->last)) : "";
}

std::string first_line(const Trouble& trouble) {
  const bool one = trouble.ranks.size() == 1;
  const std::string place = one ? last_place(trouble) : "";
  const std::string seconds = format_seconds(trouble.seconds);
  switch (trouble.kind) {
    case TroubleKind::lost:
      return fmt::format("{} {} gone without a word{}", blamed(trouble), one ? "is" : "are", place);
    case TroubleKind::silent:
      return fmt::format(
          "{} {} not been heard of for {} (--timeout): stopped, or a host or its "
          "network is gone{}",
          blamed(trouble), one ? "has" : "have", seconds, place);
    case TroubleKind::stuck:
      return one ? fmt::format(
                       "no rank has done anything for {} (--timeout), and {} is not waiting "
                       "for another{}",
                       seconds, blamed(trouble), place)
                 : fmt::format("no rank has done anything for {} (--timeout): {} hang", seconds,
                               blamed(trouble));
    case TroubleKind::failed:
      return fmt::format("{} failed, and the job did not end within {}", blamed(trouble), seconds);
  }
  return "";
}

}  // namespace

std::string describe_trouble(const Trouble& trouble, bool keeps_work) {
  std::string text = fmt::format("bitmill: error: {}\n", first_line(trouble));
  for (size_t at = 0; at < std::min(trouble.reports.size(), most_lines); ++at) {
    const RankReport& report = trouble.reports[at];
    text += fmt::format("  rank {} on {}: {}; heard {} ago, progress {} ago\n", report.rank,
                        report.host, doing(report.last), format_seconds(report.heard_s),
                        format_seconds(report.still_s));
  }
  if (trouble.reports.size() > most_lines) {
    text += fmt::format("  and {} more ranks\n", trouble.reports.size() - most_lines);
  }
  return text + (keeps_work ? "Committed work is kept; run the same command again.\n"
                            : "Run the same command again.\n");
}

std::string trouble_json(const Trouble& trouble) {
  nlohmann::ordered_json ranks = nlohmann::ordered_json::array();
  for (const RankReport& report : trouble.reports) {
    ranks.push_back({{"rank", report.rank},
                     {"host", report.host},
                     {"activity", report.last.activity},
                     {"call", report.last.call},
                     {"heard_s", report.heard_s},
                     {"still_s", report.still_s}});
  }
  nlohmann::ordered_json json = {{"kind", word_of(trouble.kind)},
                                 {"judge", trouble.judge},
                                 {"blamed", trouble.ranks},
                                 {"seconds", trouble.seconds}};
  if (trouble.kind == TroubleKind::failed) json["exit_code"] = trouble.exit_code;
  json["ranks"] = std::move(ranks);
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace bitmill
