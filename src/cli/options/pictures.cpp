#include "cli/options/pictures.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "pipeline/checks/place_check.hpp"

namespace bitmill {

OptionGroup picture_options() {
  return {"pictures",
          {{"timeline", "FILE", "", "draw what every rank does when: a page for a browser"},
           {"trace", "FILE", "", "the same as events for a trace viewer (Chrome's format)"}}};
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

void write_pictures(Files& files, const PictureRequest& request, const std::string& title,
                    std::span<const Timeline> timelines) {
  if (!request.page.empty()) replace_file(files, request.page, timeline_page(title, timelines));
  if (!request.trace.empty()) replace_file(files, request.trace, trace_json(timelines));
}

}  // namespace bitmill
