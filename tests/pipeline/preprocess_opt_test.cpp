// Adapters on a model of another family.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pipeline/preprocess_job.hpp"

namespace bitmill {
namespace {

// Biases, layer norms, no gate: fc1 and fc2 get adapters, attention's output none.
TEST_F(Preprocess, AnOptModelIsPreprocessedOnAnyMesh) {
  QuantizeOptions base = options("opt-packed");
  base.model = BITMILL_SOURCE_DIR "/tests/golden/models/opt";
  run(base);
  const SourceModel original(*files_, base.model);
  PreprocessOptions o = adapting("opt");
  o.model = base.model;
  o.packed = base.output_dir;
  o.steps = 4;
  const PreprocessResult expected = adapt(o);
  EXPECT_LT(expected.history.held_out.back(), expected.history.held_out.front());
  const SourceModel merged(*files_, o.output_dir), packed(*files_, o.packed);
  EXPECT_EQ(merged.tensors().names(), original.tensors().names());
  for (const LinearShape& shape : block_linears(packed.config(), 0)) {
    const at::ScalarType stored = scalar_type(original.tensors().info(shape.tensor).dtype);
    const at::Tensor base_weight = packed.load_linear(shape).to(stored).to(at::kFloat);
    EXPECT_EQ(merged.load_linear(shape).equal(base_weight),
              shape.role == LinearRole::attention_output)
        << shape.tensor;
  }
  PreprocessOptions mesh = o;
  mesh.output_dir = folder_ / "opt-mesh";
  mesh.work_dir = mesh.scratch_dir = folder_ / "opt-mesh.work";
  mesh.stages = 2;
  EXPECT_EQ(adapt(mesh, 4).history.held_out, expected.history.held_out);
  EXPECT_TRUE(bytes("opt-mesh") == bytes("opt"));
}

}  // namespace
}  // namespace bitmill
