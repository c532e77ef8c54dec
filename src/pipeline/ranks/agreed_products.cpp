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
    const auto choose = [&] {
      forget_algorithms(device.torch());
      rehearse();
      device.finish();
      return algorithm_table(device.torch());
    };
    // All ranks are here before one chooses: several may share a GPU within one process.
    const bool like_leader = device.numerics() == gather_texts(comm, device.numerics())[0];
    std::string table;
    if (comm.rank() == 0 || (works && !like_leader)) table = choose();
    const std::string of_leader = gather_texts(comm, comm.rank() == 0 ? table : "")[0];
    if (like_leader) table = of_leader;
    if (works) {
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
