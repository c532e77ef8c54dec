// A packed folder of anybody's: inspected, verified, read, exported; then once more with hashes
// that fit.

#include "format/packed_folder.hpp"
#include "format/config_file.hpp"
#include "format/export_folder.hpp"
#include "format/inspection.hpp"
#include "format/packed_linear.hpp"
#include "format/packed_seal.hpp"
#include "fuzz/reseal.hpp"
#include "fuzz/target.hpp"

namespace {

using namespace bitmill;

void use_folder(MemoryFiles& files) {
  fuzz::may_refuse([&] { inspect_folder(files, "/m"); });
  fuzz::may_refuse([&] { verify_packed_folder(files, "/m", {}); });
  fuzz::may_refuse([&] {
    const TensorFolder tensors(files, "/m");
    for (const std::string& name : packed_names(tensors)) {
      fuzz::may_refuse([&] {
        const PackedShape shape = read_packed_shape(tensors, name);
        dequantize(read_packed_linear(tensors, name, shape.rows, shape.cols));
      });
    }
  });
  fuzz::may_refuse([&] { export_folder(files, "/m", "/out", Dtype::float16, 1000); });
  files.remove_tree("/out");
}

void reseal(MemoryFiles& files) {
  for (const std::string& name : files.list("/m")) {
    if (!name.ends_with(".safetensors")) continue;
    fuzz::may_refuse([&] { fuzz::reseal_shard(files, join_path("/m", name)); });
  }
  if (is_packed_folder(files, "/m")) {
    write_sealed_config(files, "/m", read_config_json(files, "/m"));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryFiles files;
  fuzz::put_folder(files, "/m", fuzz::text_of(data, size));
  use_folder(files);
  fuzz::may_refuse([&] { reseal(files); });
  use_folder(files);
  return 0;
}
