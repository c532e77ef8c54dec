#pragma once
// Options that say where pictures of timelines go, for all commands that draw some.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.hpp"
#include "cli/options/option_list.hpp"
#include "cli/report/timeline.hpp"

namespace bitmill {

struct PictureRequest {
  std::string page;   // for a browser; empty: none
  std::string trace;  // for a trace viewer; empty: none

  bool any() const { return !page.empty() || !trace.empty(); }
};

OptionGroup picture_options();
// --timeline of a command that trains the whole model, or shows such a run.
Option curve_option();
PictureRequest read_pictures(const Settings& settings);
// UsageError when a file could not be written later, or lies in the folder `model`, or in
// `output_dir`, where nothing may be written. An empty `output_dir`: there is none.
void check_pictures(Files& files, const PictureRequest& request, const std::string& model,
                    const std::string& output_dir);
// UsageError when the page could not be written later, or lies in one of the folders (option and
// path), where nothing may be written. Nothing where `page` is empty.
void check_curve_page(Files& files, const std::string& page,
                      const std::vector<std::pair<std::string, std::string>>& folders);
// Writes the page of the losses in the log of `work_dir`; false where it has none.
bool write_curve_page(Files& files, const std::string& page, const std::string& work_dir);

void write_pictures(Files& files, const PictureRequest& request, const std::string& title,
                    std::span<const Timeline> timelines);

}  // namespace bitmill
