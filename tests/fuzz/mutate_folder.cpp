// libFuzzer's mutations of an input that is a folder with safetensors files.

#include "fuzz/folder_text.hpp"
#include "fuzz/mutate.hpp"
#include "fuzz/tensor_frame.hpp"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  using namespace bitmill::fuzz;
  return mutate(data, size, max_size, seed, [](const std::string& text) {
    Folder folder = read_folder(text);
    for (auto& [name, content] : folder) {
      if (name.ends_with(".safetensors")) content = framed(content);
    }
    return folder_text(folder);
  });
}
