#include "format/handover/preprocessed_card.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace bitmill {
namespace {

// A folder may have any name: this is one that a line of code can hold.
std::string code_name(std::string name) {
  std::ranges::replace_if(
      name, [](unsigned char c) { return c < ' ' || c == '`' || c == 127; }, '_');
  return name;
}

std::string licence_text(const SourceCard& source) {
  if (source.file.empty()) {
    return "The original came without a card. Its licence holds for this folder too.\n";
  }
  return fmt::format("The original's own card is `{}`; its licence holds for this folder too{}.\n",
                     source.file,
                     source.license.empty() ? "" : fmt::format(": `{}`", source.license));
}

}  // namespace

std::string preprocessed_card(const PreprocessedFacts& facts) {
  std::string front = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n";
  if (!facts.hub_id.empty()) front += fmt::format("base_model: {}\n", facts.hub_id);
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) front += fmt::format("{}: {}\n", key, value);
  };
  add("license", facts.source.license);
  add("license_name", facts.source.license_name);
  add("license_link", facts.source.license_link);
  front += "tags:\n- bitmill\n- ptq161\n---\n";
  const std::string original = code_name(facts.hub_id.empty() ? facts.base_name : facts.hub_id);
  return fmt::format(
      "{}\n{}\n\n# {}, preprocessed for quantization\n\n"
      "An ordinary model, of the size of `{}` and loaded like it, made by bitmill {}. Its weights "
      "were moved to where binarization hurts less (PTQ1.61, Zhao et al., ACL 2025, arXiv "
      "2502.13179, \"restorative LoRA\"): the original was packed, adapters of "
      "rank {} were trained on the packed weights, {} steps of {} sequences of up to {} tokens, "
      "and "
      "both were added up. It is worse than the original until it is quantized, and meant for "
      "`bitmill quantize --model .` alone.\n\n"
      "{} on text that was held out, nats per token: {:.4f} packed, {:.4f} here. Nothing else "
      "was measured when this folder was written. All settings are in `config.json`, "
      "`bitmill_preprocess`.\n\n## Licence\n\n{}",
      front, our_card_line, code_name(facts.base_name), original, code_name(facts.version),
      facts.rank, facts.steps, facts.batch, facts.seq_len,
      facts.loss == "kl" ? "Divergence from the original" : "Cross-entropy", facts.held_out_before,
      facts.held_out_after, licence_text(facts.source));
}

}  // namespace bitmill
