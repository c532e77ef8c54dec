#include "format/handover/model_card.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace bitmill {
namespace {

// A folder may have any name: this is one that a table and a line of code can hold.
std::string shown(std::string name) {
  std::ranges::replace_if(
      name, [](unsigned char c) { return c < ' ' || c == '`' || c == '|' || c == 127; }, '_');
  return name;
}

std::string base_of(const CardFacts& facts) {
  if (!facts.hub_id.empty()) return fmt::format("`{}`", facts.hub_id);
  if (!facts.base_name.empty()) return fmt::format("`{}`", shown(facts.base_name));
  return "a model whose name was not recorded";
}

std::string front_matter(const CardFacts& facts) {
  std::string text = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n";
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) text += fmt::format("{}: {}\n", key, value);
  };
  add("base_model", facts.hub_id);
  add("base_model_relation", facts.hub_id.empty() ? "" : "quantized");
  add("license", facts.source.license);
  add("license_name", facts.source.license_name);
  add("license_link", facts.source.license_link);
  text += "tags:\n- bitmill\n- ptq161\n- quantized\n";
  return text + (facts.exported_dtype.empty() ? "- low-bit\n---\n" : "---\n");
}

std::string title(const CardFacts& facts) {
  const std::string name = facts.base_name.empty() ? "A model" : shown(facts.base_name);
  if (facts.exported_dtype.empty()) {
    return fmt::format("# {}, packed to {:.2f} bits per weight\n\n", name, facts.bits_per_weight);
  }
  return fmt::format("# {}, packed to {:.2f} bits per weight and unpacked to {}\n\n", name,
                     facts.bits_per_weight, facts.exported_dtype);
}

std::string what_it_is(const CardFacts& facts) {
  if (!facts.exported_dtype.empty()) {
    return "An ordinary model. Its linears have the values of a packed model, so it computes what "
           "that one computes; it is as large as any model that is not packed.\n\n";
  }
  return "A fifth of the input channels of every linear, or as many as the settings say, is stored "
         "in 4 bits, everything else as signs with scales per row and column (PTQ1.61, Zhao et "
         "al., ACL 2025, arXiv 2502.13179). Embeddings, norms and the head are those of the base "
         "model.\n\n";
}

std::string table(const CardFacts& facts) {
  std::string text = "| | |\n| --- | --- |\n";
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) text += fmt::format("| {} | {} |\n", key, value);
  };
  const std::string packed = facts.exported_dtype.empty() ? "" : ", of the packed folder";
  add("base model",
      base_of(facts) +
          (facts.preprocessed ? ", preprocessed by bitmill before it was packed" : ""));
  add("made by", fmt::format("bitmill {}", shown(facts.version)));
  add("recipe", facts.recipe.empty() ? "" : fmt::format("`{}`", shown(facts.recipe)));
  add("calibration", facts.calibration);
  add("left in 16 bits", facts.left_out);
  add("packed linears", fmt::format("{}", facts.linears));
  add(fmt::format("bits per weight of these linears, every stored bit counted{}", packed),
      fmt::format("{:.4f}", facts.bits_per_weight));
  add(fmt::format("bits per parameter of all tensor files{}", packed),
      fmt::format("{:.4f}", facts.bits_per_parameter));
  add("bytes of the tensor files here", fmt::format("{}", facts.file_bytes));
  if (facts.tuning) {
    add("tuned", fmt::format("end to end, {} epochs; the values after epoch {} were kept",
                             facts.tuning->epochs, facts.tuning->kept_epoch));
  }
  return text + "\nAll settings are in `config.json`" +
         (facts.exported_dtype.empty() ? ", `quantization_config.bitmill`.\n\n"
                                       : " of the packed folder.\n\n");
}

std::string perplexities(const CardFacts::Measured& measured) {
  std::string text = fmt::format(
      "On {}", measured.text.empty() ? "a text" : fmt::format("`{}`", shown(measured.text)));
  if (!measured.windows.empty() && !measured.seq_len.empty()) {
    text +=
        fmt::format(", {} windows of {} tokens", shown(measured.windows), shown(measured.seq_len));
  }
  text += fmt::format(": perplexity {:.4f}, and {:.4f} of the base model", measured.perplexity,
                      measured.perplexity_original);
  if (measured.kl) text += fmt::format("; divergence (KL) from it {:.4f} nats", *measured.kl);
  if (measured.top1)
    text += fmt::format("; the same most likely token at {:.2f} % of the positions",
                        100 * *measured.top1);
  return text + ".\n\n";
}

std::string measured(const CardFacts& facts) {
  std::string text = "## Measured\n\n";
  if (facts.measured) text += perplexities(*facts.measured);
  if (facts.tuning) {
    text += fmt::format(
        "Divergence (KL) of the next-token distribution from the base model's, on windows of the "
        "calibration that were held out: {:.4f} nats before tuning, {:.4f} after.\n\n",
        facts.tuning->kl_before, facts.tuning->kl_after);
  } else if (!facts.measured) {
    text += "Nothing was measured when this folder was written. ";
  }
  return text +
         "`bitmill eval --model . --corpus FILE` measures perplexity on a text; `--reference DIR` "
         "adds divergence from, and agreement with, the base model in DIR.\n\n";
}

constexpr std::string_view packed_loading = R"(## How to load it

The folder is called `DIR` here.

**bitmill** computes on the stored bits:

```
bitmill generate --model DIR --prompt "Once upon a time"
```

**transformers** (5.0 or newer) with bitmill's Python package, where that is installed or
`src/python` of its repository is in `PYTHONPATH`:

```python
import bitmill
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("DIR")
```

**transformers** without that package runs `modeling_bitmill.py` of this folder (Apache-2.0, part of
bitmill), if you allow it:

```python
model = AutoModelForCausalLM.from_pretrained("DIR", trust_remote_code=True)
```

Both unpack a weight for every product: little memory, slow. `model.dequantize()` makes it an
ordinary model. A packed model cannot be trained or saved from there. On a CPU,
`bitmill.use_kernels(model, "int8")` computes on the stored bits, where bitmill was built and its
package is installed; logits are then near those of the export, no longer the same.

**vLLM** (0.32 was tried) finds the plugin of the package where that is installed: `vllm serve DIR`.
No tensor parallelism; weights are unpacked when the model is loaded, so it saves no memory there.

**Everything else**: `bitmill export --model DIR --output-dir NEW --dtype float16` makes an ordinary
folder. llama.cpp's `convert_hf_to_gguf.py` reads that, if it knows the base model's tokenizer.

## What goes wrong otherwise

- transformers without either stops: "The transformers file in the config seems to be incorrect
  ... these weights are packed by bitmill". `AutoModel` and `LlamaForCausalLM` say so even with
  trust_remote_code=True: take `AutoModelForCausalLM`, or the package.
- Remove the key `transformers_weights` from `config.json`, or take a transformers that does not know
  it, and transformers alone **loads random numbers into every linear, with no more than a
  warning**. The text that such a model writes is noise.
- vLLM without the plugin stops: "Unknown quantization method: ptq161". llama.cpp's converter stops:
  "Quant method is not yet supported: 'ptq161'".
)";

constexpr std::string_view exported_loading = R"(## How to load it

Like the base model, with any tool that loads that one: `AutoModelForCausalLM.from_pretrained`,
`vllm serve`, llama.cpp's `convert_hf_to_gguf.py`, `bitmill generate`.

## What goes wrong otherwise

- Another quantizer on top (GGUF types, bitsandbytes) rounds once more: measure what it costs.
- This folder saves no memory. The packed folder that it was made from does, with bitmill.
)";

std::string papers(const CardFacts& facts) {
  std::string text = "\n## Licence\n\n";
  if (facts.source.file.empty()) {
    return text + "The base model came without a card. Its licence holds for this folder too.\n";
  }
  const SourceCard& source = facts.source;
  text += fmt::format("The base model's own card is `{}`. ", source.file);
  for (const std::string& other : source.others) {
    text += fmt::format("`{}` is a card that came with the model. ", other);
  }
  text += "The base model's licence holds for this folder too";
  if (source.license.empty()) return text + "; no card names one that was understood.\n";
  const bool is_own = source.license_file == source.file;
  return text + fmt::format(": `{}`{}.\n", source.license,
                            is_own ? "" : fmt::format(", says `{}`", source.license_file));
}

}  // namespace

std::string model_card(const CardFacts& facts) {
  const std::string_view loading = facts.exported_dtype.empty() ? packed_loading : exported_loading;
  return fmt::format("{}\n{}\n\n{}{}{}{}{}{}", front_matter(facts), our_card_line, title(facts),
                     what_it_is(facts), table(facts), measured(facts), loading, papers(facts));
}

}  // namespace bitmill
