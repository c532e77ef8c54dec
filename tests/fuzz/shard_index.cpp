// A model.safetensors.index.json of anybody's over two good shards.

#include "format/tensor_folder.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitmill;
  using namespace std::string_literals;
  const auto shard = [](const std::string& tensor) {
    const std::string header =
        "{\"" + tensor + "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    return std::string(1, static_cast<char>(header.size())) + "\0\0\0\0\0\0\0"s + header + "xy";
  };
  MemoryFiles files;
  files.put("/m/a.safetensors", shard("t"));
  files.put("/m/b.safetensors", shard("u"));
  files.put("/m/model.safetensors.index.json", std::string(fuzz::text_of(data, size)));
  fuzz::may_refuse([&] {
    const TensorFolder folder(files, "/m");
    std::vector<std::byte> raw(2);
    for (const std::string& name : folder.names()) folder.read(name, raw);
  });
  return 0;
}
