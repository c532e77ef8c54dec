#include "data/chat_formats.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/hash.hpp"
#include "data/chat_renderers.hpp"

namespace bitmill {
namespace {

// CHAT.md says which models have these texts. A text of one line is known in two spellings: with
// line ends inside of its strings, and with \n there. "": there is one spelling only.
struct KnownText {
  std::array<std::string_view, 2> hashes;
  ChatFormat format;
};
constexpr std::array known_texts = {
    KnownText{{"4adb1f81f5c508ea24f6d97f87d647f5", "97aac26c37e4a675cb7c5112dfc4a3b0"},
              {"LLaMA-2", render_llama2}},
    KnownText{{"09facc0e4aa943189799ad6e2dea0594", "11cc8d79e9815d5c866fc8fa50da12fe"},
              {"LLaMA-3", render_llama3}},
    KnownText{{"8f20b9eda669ce10b97891b7adc1beb8", "0debe51b618cd79280e4830e93c6d9f7"},
              {"LLaMA-3, first form", render_llama3_asking}},
    KnownText{{"9ddcd6cd71f96dd76ca7779b7730196a", ""}, {"LLaMA-3.1", render_llama31}},
    KnownText{{"70bf874ad98f31f4b7f52373b11c60d7", ""},
              {"Mistral v0.1, first form", render_mistral_v01_first}},
    KnownText{{"f395fc5daa794129a5d004210ebce758", ""},
              {"Mistral v0.2, first form", render_mistral_v02_first}},
    KnownText{{"6aef58edf0d62df9f89cfc57f651ff3d", ""}, {"Mistral v0.1", render_mistral_v01}},
    KnownText{{"e580c2da83415028d5d943bd0bd9082f", "7c4c17cbc95b1d56c79034a9d5f0ae58"},
              {"Qwen2", render_qwen2}},
    KnownText{{"e392aa06018503fd2469c9508f79506e", ""}, {"Qwen2.5", render_qwen25}},
    KnownText{{"4457e3d12b367a860283f874ff58d644", ""}, {"Qwen3", render_qwen3}},
    KnownText{{"98f63cc3d421d28f99ab995e9629dacd", "f0323af61a5d6e2383059ddcb62b07a0"},
              {"SmolLM2", render_smollm2}},
    KnownText{{"f0a6a8278439fdb056191e205a440263", "577a7fce73f72e1ee2be9fd6966bb5eb"},
              {"ChatML", render_chatml}},
};

}  // namespace

std::string chat_template_hash(std::string_view template_text) {
  std::string text;
  for (size_t i = 0; i < template_text.size(); ++i) {
    if (template_text.substr(i, 2) != "\r\n") text += template_text[i];
  }
  if (text.ends_with('\n')) text.pop_back();  // Jinja drops this one, and writes other blanks
  return hash_hex(std::as_bytes(std::span(text)));
}

const ChatFormat* find_chat_format(std::string_view template_text) {
  return chat_format_by_hash(chat_template_hash(template_text));
}

const ChatFormat* chat_format_by_hash(std::string_view hash) {
  if (hash.empty()) return nullptr;
  const auto found = std::ranges::find_if(known_texts, [&](const KnownText& known) {
    return std::ranges::find(known.hashes, hash) != known.hashes.end();
  });
  return found == known_texts.end() ? nullptr : &found->format;
}

const ChatFormat* chat_format_named(std::string_view name) {
  const auto found = std::ranges::find_if(
      known_texts, [&](const KnownText& known) { return known.format.name == name; });
  return found == known_texts.end() ? nullptr : &found->format;
}

std::string known_chat_formats() {
  std::vector<std::string_view> names;
  names.reserve(known_texts.size());
  for (const KnownText& known : known_texts) names.push_back(known.format.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace bitmill
