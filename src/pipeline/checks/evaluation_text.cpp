#include "pipeline/checks/evaluation_text.hpp"

#include <fmt/format.h>

#include <span>

#include "base/hash.hpp"
#include "data/corpus_begin.hpp"
#include "data/token_text.hpp"

namespace bitmill {

ReadEvaluation read_evaluation(const PreprocessOptions& options, Files& files, int64_t vocabulary) {
  ReadEvaluation read;
  Hasher hasher;
  for (const std::string& path : options.evaluation) {
    const Tokens tokens = read_tokens(files, path, options.model, vocabulary,
                                      key_where_lines(files, path, options.text_key));
    read.text.add(tokens.ids);
    hasher.add(std::as_bytes(std::span(tokens.ids)));
  }
  read.hash = hasher.hex();
  return read;
}

std::string calibration_overlap(const Windows& windows, const EvaluationText& evaluation) {
  int64_t sharing = 0;
  for (int64_t i = 0; i < windows.count; ++i) {
    if (evaluation.shares_text_with(windows.window(i))) ++sharing;
  }
  if (sharing == 0) return "";
  return fmt::format(
      "{} of the {} windows of --calib share text with --evaluation, and the base is trained on "
      "them: its figures there look better than they are; calibrate with another text",
      sharing, windows.count);
}

}  // namespace bitmill
