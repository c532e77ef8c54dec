// usage: model_logits FOLDER GOLDEN OUTPUT
//
// Writes the logits [T, vocab] of the model in FOLDER, 16-bit or packed, for the `input_ids` of the
// file GOLDEN. For tests/golden/models/check_exports.py, which compares them with transformers'.

#include <ATen/Parallel.h>

#include <cstdio>
#include <exception>

#include "format/safetensors_writer.hpp"
#include "model/golden_files.hpp"

int main(int argc, char** argv) {
  using namespace bitmill;
  if (argc != 4) {
    std::fprintf(stderr, "usage: model_logits FOLDER GOLDEN OUTPUT\n");
    return 2;
  }
  try {
    at::set_num_threads(1);
    const auto files = posix_files();
    const SafetensorsFile golden(*files, argv[2]);
    std::vector<int32_t> ids(golden.info("input_ids").elements());
    golden.read(golden.info("input_ids"), std::as_writable_bytes(std::span(ids)));
    ThreadPool pool(1);
    const at::Tensor logits = test::compute_logits(SourceModel(*files, argv[1]), ids, pool);
    const auto bytes = std::as_bytes(std::span(logits.const_data_ptr<float>(), logits.numel()));
    const TensorSource source = {"logits", Dtype::float32, logits.sizes().vec(),
                                 [bytes](const ByteSink& sink) { sink(bytes); }};
    write_safetensors(*files, argv[3], {source}, {});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
