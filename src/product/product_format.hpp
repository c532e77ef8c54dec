#pragma once
// Finds how the packed linears of a folder are read and multiplied, by what its config.json says.
// Another packed format joins with a row in the table of product_format.cpp.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "format/tensor_folder.hpp"
#include "product/product.hpp"

namespace bitmill {

struct ProductFormat {
  std::string quant_method;  // of quantization_config
  int64_t version;           // the same
  std::string grid;          // the same; "" where the method has only one
  // Reads the linear `name`, [rows, cols], and makes it ready. FormatError as read_packed_linear().
  std::unique_ptr<Product> (*read)(const TensorFolder& tensors, const std::string& name,
                                   int64_t rows, int64_t cols, const ProductOptions& options);
};

// `config` is all of config.json, `where` its path for errors. FormatError when it has no
// quantization_config, or one whose method, version or grid no row of the table has (with the names
// of those that are there).
const ProductFormat& find_product_format(const nlohmann::json& config, const std::string& where);

}  // namespace bitmill
