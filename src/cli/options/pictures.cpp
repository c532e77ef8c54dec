#include "cli/options/pictures.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "cli/report/loss_curve.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {

OptionGroup picture_options() {
  return {"pictures",
          {{"timeline", "FILE", "", "draw what every rank does when: a page for a browser"},
           {"trace", "FILE", "", "the same as events for a trace viewer (Chrome's format)"}}};
}

Option curve_option() {
  return {"timeline", "FILE", "",
          "draw loss and held-out loss against the steps: a page for a browser"};
}

PictureRequest read_pictures(const Settings& settings) {
  return {settings.text_or("timeline", ""), settings.text_or("trace", "")};
}

void check_pictures(Files& files, const PictureRequest& request, const std::string& model,
                    const std::string& output_dir) {
  BITMILL_CHECK(request.page.empty() || request.page != request.trace, UsageError,
                fmt::format("--timeline and --trace are both {}; give two files", request.page));
  for (const auto& [option, path] :
       {std::pair{"--timeline", request.page}, std::pair{"--trace", request.trace}}) {
    if (path.empty()) continue;
    throw_place_problem(file_problem(files, option, path));
    BITMILL_CHECK(
        !lies_in(files.resolve(path), files.resolve(model)), UsageError,
        fmt::format("{} {} lies in the model folder {}; give another path", option, path, model));
    BITMILL_CHECK(output_dir.empty() || !lies_in(files.resolve(path), files.resolve(output_dir)),
                  UsageError,
                  fmt::format("{} {} lies in --output-dir {}, which must be empty; give another "
                              "path",
                              option, path, output_dir));
  }
}

void check_curve_page(Files& files, const std::string& page,
                      const std::vector<std::pair<std::string, std::string>>& folders) {
  if (page.empty()) return;
  throw_place_problem(file_problem(files, "--timeline", page));
  for (const auto& [option, folder] : folders) {
    BITMILL_CHECK(
        !lies_in(files.resolve(page), files.resolve(folder)), UsageError,
        fmt::format("--timeline {} lies in {} {}; give another path", page, option, folder));
  }
}

bool write_curve_page(Files& files, const std::string& page, const std::string& work_dir) {
  const LossLog log = read_loss_log(files, work_dir);
  if (log.points.empty()) return false;
  const Curve curve = loss_curve(log, "losses");
  replace_file(files, page, timeline_page(work_dir, {}, {&curve, 1}));
  return true;
}

void write_pictures(Files& files, const PictureRequest& request, const std::string& title,
                    std::span<const Timeline> timelines) {
  if (!request.page.empty()) replace_file(files, request.page, timeline_page(title, timelines));
  if (!request.trace.empty()) replace_file(files, request.trace, trace_json(timelines));
}

}  // namespace bitmill
