#include "pipeline/ranks/agreed_products.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/hash.hpp"
#include "comm/gather.hpp"
#include "device/product.hpp"

namespace bitmill {

AgreedProducts::AgreedProducts(Communicator& comm, const Device& device,
                               const std::string& numerics_class,
                               const std::function<void()>& rehearse)
    : device_(device) {
  std::string mine = numerics_class;
  if (device.torch().is_cuda()) {
    const bool works = !numerics_class.empty();
    // All ranks are here before one chooses: several may share a GPU within one process.
    const std::vector<std::string> kinds = gather_texts(comm, works ? device.numerics() : "");
    const auto first_like = std::ranges::find(kinds, device.numerics()) - kinds.begin();
    std::string table;
    if (works && first_like == comm.rank()) {
      forget_algorithms(device.torch());
      rehearse();
      device.finish();
      clear_away(device.torch());
      table = algorithm_table(device.torch());
    }
    const std::vector<std::string> tables = gather_texts(comm, table);
    if (works) {
      table = tables[static_cast<size_t>(first_like)];
      keep_to_algorithms(device.torch(), table);
      keeps_ = true;
      mine += fmt::format(", products {}", hash_hex(std::as_bytes(std::span(table))).substr(0, 16));
    }
  }
  for (std::string& one : gather_texts(comm, mine)) {
    const bool known = std::ranges::find(classes_, one) != classes_.end();
    if (!one.empty() && !known) classes_.push_back(std::move(one));
  }
}

AgreedProducts::~AgreedProducts() {
  if (keeps_) choose_algorithms_freely(device_.torch());
}

}  // namespace bitmill
