// A safetensors file of anybody's: opened as a model folder, and every tensor read.

#include "format/tensor_folder.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  MemoryFiles files;
  files.put("/m/model.safetensors", std::string(fuzz::text_of(data, size)));
  fuzz::may_refuse([&] {
    const TensorFolder folder(files, "/m");
    for (const std::string& name : folder.names()) {
      std::vector<std::byte> raw(folder.info(name).bytes);
      folder.read(name, raw);
      fuzz::may_refuse([&] { folder.read_float32(name); });
    }
  });
  return 0;
}
