#include "cli/options/run_folder_options.hpp"

#include <array>

#include "cli/report/quantity.hpp"

namespace bitmill {

Option stream_memory_option() {
  return {"stream-memory", "BYTES", "no limit",
          "memory of a rank's host for activations between blocks; the rest goes to "
          "--scratch-dir"};
}

OptionGroup run_folder_options() {
  return {"the run folder (these do not change the result)",
          {stream_memory_option(),
           {"scratch-dir", "DIR", "the work folder", "a folder for what exceeds --stream-memory"},
           {"work-dir", "DIR", "the output folder's name with .work added",
            "the state and log of the run"},
           {"resume", "auto|required|never", "auto",
            "auto: go on with an unfinished run in the work folder, if there is one; required: the "
            "same, but fail if there is none; never: throw it away and start over"},
           {"time-limit", "TIME", "no limit",
            "stop early enough that everything is saved within this time: 90, 15m, 2h, 1-02:03:04"},
           {"allow-mixed-hardware", "", "",
            "go on with a run that began on another kind of machine; config.json then says so"}}};
}

OptionGroup run_folder_options_with_corpus() {
  OptionGroup folder = run_folder_options();
  for (Option& option : folder.options) {
    if (option.name != "scratch-dir") continue;
    option.help +=
        "; and for the index of the corpus and what is unpacked of it, which by default "
        "go to the work folder's name with -corpus added, and are removed at the end";
  }
  return folder;
}

RunFolderRequest read_run_folder(const Settings& settings, const std::string& output_dir) {
  RunFolderRequest request;
  request.work_dir = settings.folder_or("work-dir", output_dir + ".work");
  request.scratch_dir = settings.folder_or("scratch-dir", request.work_dir);
  request.stream_memory = settings.bytes_or("stream-memory", request.stream_memory);
  constexpr std::array choices = {Resume::automatic, Resume::required, Resume::never};
  request.resume = choices[settings.word_or("resume", {"auto", "required", "never"}, 0)];
  request.allow_mixed_hardware = settings.is_on("allow-mixed-hardware");
  if (settings.has("time-limit")) {
    request.time_limit_s = parse_seconds(settings.text_or("time-limit", ""));
  }
  return request;
}

}  // namespace bitmill
