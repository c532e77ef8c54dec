#include "product/product_format.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"
#include "format/packed_folder.hpp"
#include "format/packed_layout.hpp"
#include "product/packed_product.hpp"

namespace bitmill {
namespace {

std::unique_ptr<Product> read_ptq161(const TensorFolder& tensors, const std::string& name,
                                     int64_t rows, int64_t cols, const ProductOptions& options) {
  return make_packed_product(read_packed_linear(tensors, name, rows, cols), name, options);
}

// Another packed format: its row here, and the function that makes its Product.
const std::array<ProductFormat, 1>& product_formats() {
  static const std::array<ProductFormat, 1> formats = {
      {{std::string(quant_method), packed::format_version, "", &read_ptq161}}};
  return formats;
}

std::string known_formats() {
  std::vector<std::string> words;
  for (const ProductFormat& format : product_formats()) {
    words.push_back(fmt::format("{} version {}{}", format.quant_method, format.version,
                                format.grid.empty() ? "" : " with grid " + format.grid));
  }
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

const ProductFormat& find_product_format(const nlohmann::json& config, const std::string& where) {
  const std::string part = where + ": quantization_config";
  const auto quantization = config.find("quantization_config");
  BITMILL_CHECK(quantization != config.end() && quantization->is_object(), FormatError,
                part + " is missing, or is no object: this is not a packed model");
  const std::string method = json_string(*quantization, "quant_method", part);
  const int64_t version = json_int(*quantization, "version", part);
  const std::string grid = json_string_or(*quantization, "grid", "", part);
  for (const ProductFormat& format : product_formats()) {
    if (format.quant_method == method && format.version == version && format.grid == grid) {
      return format;
    }
  }
  throw FormatError(
      fmt::format("{}: quant_method \"{}\", version {}{} cannot be multiplied by this "
                  "program; it can: {}",
                  part, method, version, grid.empty() ? "" : fmt::format(", grid \"{}\"", grid),
                  known_formats()));
}

}  // namespace bitmill
