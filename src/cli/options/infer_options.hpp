#pragma once
// Options of the commands that run a model token by token: generate, serve, bench.

#include <string>

#include "cli/options/option_list.hpp"
#include "cli/options/settings.hpp"
#include "infer/resident_model.hpp"

namespace bitmill {

// --activations, --head, --backend.
std::vector<Option> product_options();

// What the user chose, before a kernel is chosen. `--backend auto` is the CPU: these commands have
// no other. UsageError for wrong words, and for a choice that would have no effect on the reference
// path.
struct ProductChoice {
  ProductPath path = ProductPath::fast;
  Activations activations = Activations::int8;
  bool activations_given = false;
  bool int8_head = false;
  std::string note = {};  // what `--backend auto` took, where that was asked for; else empty

  ResidentOptions with(const CpuKernel& kernel) const;
};
ProductChoice read_product_choice(const Settings& settings);

// UsageError when --activations was given and nothing in the folder would look at it.
void check_has_effect(const ProductChoice& choice, const std::string& folder, bool packed);

// UsageError, naming the command, when there are several ranks: one process decodes.
void check_one_rank(const std::string& command, int ranks);

}  // namespace bitmill
