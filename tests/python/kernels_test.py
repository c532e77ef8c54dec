"""The kernels as a torch operator: against the unpacked product, and against the program."""

from __future__ import annotations

import copy
import json
import math
import os
import pathlib
import pickle
import subprocess
import sys
import unittest
from unittest import mock

import torch
from folders import BOOKS_TEXT, PACKAGE, SCRATCH, bitmill, exported, golden_windows, packed
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from unpack_test import SHAPES, Linear

sys.path.insert(0, str(PACKAGE))
import bitmill as package  # noqa: E402
from bitmill import kernels  # noqa: E402

LIBRARY = os.environ.get("BITMILL_LIBRARY", "")
# Largest whole number that an input is rounded to; float32 rounds nothing.
LEVELS = {"int8": 127, "int16": 32639, "float32": math.inf}
MODELS = ["llama-biases", "mistral", "opt", "opt-post-norm", "qwen2", "qwen3", "untied-gqa"]


def setUpModule() -> None:
    if not LIBRARY:
        raise unittest.SkipTest("no libbitmill.so: a build with sanitizers makes none")


def load(folder, dtype: torch.dtype = torch.float32, **options) -> nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)


def on_kernels(folder, activations: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    return package.use_kernels(load(folder, dtype), activations)


def product_of(linear: Linear, activations: str = "int8") -> kernels.PackedProduct:
    options = kernels.Options(kernels.load_library(kernels.library_path()), activations)
    return kernels.PackedProduct(options, "w", linear.weight.shape[1], linear.parts)


def half_steps(linear: Linear, x: torch.Tensor, activations: str) -> torch.Tensor:
    """How far a product [tokens, rows] may be from the exact one: half a step of every input, low
    ones after their gain, and what the sums of float32 round."""
    mask = package.modeling_bitmill.unpack_items(linear.parts["mask"], x.shape[1], 1).bool()
    parts = {name: part.double() for name, part in linear.parts.items()}
    low = x[:, ~mask].double() * parts["col_gain"]
    salient = x[:, mask].double()
    largest = [part.abs().amax(1, keepdim=True) if part.shape[1] else torch.zeros(len(x), 1)
               for part in (low, salient)]
    inner = (parts["row_scale"].abs() + parts["row_mean"].abs()) * low.shape[1]
    codes = linear.weight[:, mask].double().abs().sum(1)
    steps = (largest[0] * inner + largest[1] * codes) / LEVELS[activations]
    sums = low.abs().sum(1, keepdim=True) * (parts["row_scale"].abs() + parts["row_mean"].abs())
    magnitude = sums + salient.abs() @ linear.weight[:, mask].double().abs().T
    return steps / 2 + 4e-6 * magnitude + 1e-6


class Products(unittest.TestCase):
    def test_odd_shapes_are_within_half_a_step_of_the_unpacked_product(self) -> None:
        random = torch.Generator().manual_seed(3)
        for shape in (*SHAPES, (16, 224, 0), (47, 281, 56), (33, 45, 45), (64, 832, 131)):
            linear = Linear(*shape)
            for tokens in (1, 3, 67):
                x = torch.randn(tokens, shape[1], generator=random)
                exact = x.double() @ linear.weight.double().T
                for activations in LEVELS:
                    y = product_of(linear, activations)(x)
                    self.assertEqual(y.shape, exact.shape)
                    error = (y.double() - exact).abs()
                    bound = half_steps(linear, x, activations)
                    self.assertTrue((error <= bound).all(), (shape, tokens, activations))

    def test_int16_is_nearer_than_int8_and_float32_is_nearest(self) -> None:
        linear = Linear(64, 500, 100)
        x = torch.randn(8, 500, generator=torch.Generator().manual_seed(4))
        exact = x.double() @ linear.weight.double().T
        errors = [(product_of(linear, word)(x).double() - exact).norm().item()
                  for word in ("int8", "int16", "float32")]
        self.assertGreater(errors[0], 100 * errors[1])
        self.assertGreater(errors[1], 10 * errors[2])

    def test_threads_and_leading_dimensions_change_no_bit(self) -> None:
        product = product_of(Linear(403, 300, 60))
        x = torch.randn(6, 300)
        wanted, before = product(x), torch.get_num_threads()
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                self.assertTrue(torch.equal(product(x), wanted), threads)
        finally:
            torch.set_num_threads(before)
        self.assertTrue(torch.equal(product(x.view(2, 1, 3, 300)), wanted.view(2, 1, 3, 403)))
        self.assertTrue(torch.equal(product(x[2]), wanted[2]))
        wide = torch.randn(6, 600)
        wide[:, ::2] = x
        self.assertTrue(torch.equal(product(wide[:, ::2]), wanted))
        self.assertEqual(product(x[:0]).shape, (0, 403))

    def test_the_operator_keeps_the_rules_of_torch(self) -> None:
        product = product_of(Linear(17, 67, 14))
        for x in (torch.randn(3, 67), torch.randn(2, 5, 67), torch.randn(67)):
            found = torch.library.opcheck(torch.ops.bitmill.packed_linear.default,
                                          (x, product.key, 17))
            self.assertEqual(set(found.values()), {"SUCCESS"})

    def test_a_wrong_input_is_refused(self) -> None:
        product = product_of(Linear(17, 67, 14))
        for x in (torch.randn(3, 66), torch.randn(3, 67).half(), torch.tensor(1.0)):
            with self.assertRaisesRegex(RuntimeError, "17 rows and 67 columns was given"):
                product(x)
        with self.assertRaisesRegex(RuntimeError, "for 16 rows"):
            torch.ops.bitmill.packed_linear(torch.randn(3, 67), product.key, 16)
        x = torch.randn(3, 67)
        x[1, 5] = math.nan
        with self.assertRaisesRegex(RuntimeError, "w.*token 1|token 1.*w"):
            product(x)

    def test_parts_that_do_not_fit_are_refused_by_name(self) -> None:
        for part, wrong in (("signs", torch.zeros(17, 3, dtype=torch.int32)),
                            ("row_scale", torch.full((17,), math.inf).half()),
                            ("mask", torch.full((3,), -1, dtype=torch.int32))):
            linear = Linear(17, 67, 14)
            linear.parts[part] = wrong
            with self.assertRaisesRegex(RuntimeError, rf"w\.{part}"):
                product_of(linear)

    def test_a_product_that_was_freed_is_not_found(self) -> None:
        product = product_of(Linear(17, 67, 14))
        key = product.key
        del product
        with self.assertRaisesRegex(RuntimeError, f"product {key} is gone"):
            torch.ops.bitmill.packed_linear(torch.randn(3, 67), key, 17)

    def test_a_forked_child_computes_the_same(self) -> None:
        product, x = product_of(Linear(403, 300, 60)), torch.randn(2, 300)
        wanted = product(x)
        child = os.fork()
        if child == 0:
            same = torch.equal(product(x), wanted)
            os._exit(0 if same else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_copy_shares_the_product_and_a_pickle_is_refused(self) -> None:
        product = product_of(Linear(17, 67, 14))
        self.assertIs(copy.deepcopy(product), product)
        with self.assertRaisesRegex(TypeError, "cannot be pickled"):
            pickle.dumps(product)


class TheLibrary(unittest.TestCase):
    def test_one_that_is_missing_is_named_with_the_way_to_get_it(self) -> None:
        with mock.patch.dict(os.environ, BITMILL_LIBRARY="/nowhere/libbitmill.so"), \
                self.assertRaisesRegex(RuntimeError, "/nowhere/libbitmill.so cannot be loaded.*"
                                                     "--target bitmill_python"):
            package.use_kernels(load(packed("tied-mha")))

    def test_without_the_variable_it_is_looked_for_beside_the_package(self) -> None:
        with mock.patch.dict(os.environ):
            del os.environ["BITMILL_LIBRARY"]
            self.assertEqual(kernels.library_path(), PACKAGE / "bitmill/libbitmill.so")

    def test_another_version_of_the_interface_is_refused(self) -> None:
        with mock.patch.object(kernels, "ABI_VERSION", 2), \
                self.assertRaisesRegex(RuntimeError, "has version 1 .* this package needs 2"):
            kernels.Library(pathlib.Path(LIBRARY))

    def test_another_library_and_no_library_at_all_are_refused(self) -> None:
        with self.assertRaisesRegex(RuntimeError, "is no library of bitmill"):
            kernels.Library(next(pathlib.Path(torch.__file__).parent.glob("lib/libc10.so")))
        text = SCRATCH / "text.so"
        text.write_text("not a library")
        with self.assertRaisesRegex(RuntimeError, "text.so cannot be loaded"):
            kernels.Library(text)

    def test_a_kernel_that_there_is_not_is_refused(self) -> None:
        with mock.patch.dict(os.environ, BITMILL_CPU_KERNEL="neon"), \
                self.assertRaisesRegex(RuntimeError, 'no CPU kernel "neon"'):
            product_of(Linear(17, 67, 14))

    def test_every_kernel_of_this_machine_gives_the_same_bits(self) -> None:
        linear, x = Linear(47, 281, 56), torch.randn(3, 281)
        wanted = product_of(linear)(x)
        with mock.patch.dict(os.environ, BITMILL_CPU_KERNEL="plain"):
            self.assertTrue(torch.equal(product_of(linear)(x), wanted))


class Models(unittest.TestCase):
    def test_float32_is_near_the_export_in_every_family(self) -> None:
        for name in MODELS:
            ids = load_file(golden_windows(name))["input_ids"].long()
            with torch.no_grad():
                ours = on_kernels(packed(name), "float32")(ids).logits
                theirs = load(exported(name, "float32"))(ids).logits
            self.assertLess((ours - theirs).abs().max() / theirs.abs().max(), 1e-5, name)

    def test_perplexity_is_that_of_bitmill_eval_with_these_activations(self) -> None:
        folder, corpus = packed("books-2M"), SCRATCH / "kernel-windows.safetensors"
        bitmill("tokenize", "--model", folder, "--corpus", BOOKS_TEXT / "eval.txt", "--output",
                corpus)
        windows = load_file(corpus)["input_ids"].flatten()[: 8 * 64].view(8, 64)
        save_file({"input_ids": windows.contiguous()}, corpus)
        found = {}
        for activations, near in (("float32", 1e-6), ("int16", 1e-5), ("int8", 1e-3)):
            there = json.loads(bitmill("eval", "--model", folder, "--corpus", corpus, "--json",
                                       "--activations", activations))["perplexity"]
            with torch.no_grad():
                scores = on_kernels(folder, activations)(windows.long()).logits[:, :-1]
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten().long())
            found[activations] = loss.double().exp().item()
            self.assertLess(abs(found[activations] / there - 1), near, activations)
        # Otherwise the word would have changed nothing.
        self.assertGreater(abs(found["int8"] / found["float32"] - 1), 1e-5)

    def test_it_writes_what_bitmill_generate_writes(self) -> None:
        folder = packed("books-2M")
        prompt = "It was a dark night, and"
        there = json.loads(bitmill("generate", "--model", folder, "--prompt", prompt, "--json",
                                   "--max-tokens", 24, "--activations", "float32"))
        ids = AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt").input_ids
        self.assertEqual(ids.shape[1], there["prompt_tokens"])
        out = on_kernels(folder, "float32").generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24,
            pad_token_id=0)
        self.assertEqual(out[0, ids.shape[1]:].tolist(), there["tokens"])

    def test_half_types_go_in_and_come_out(self) -> None:
        ids = torch.arange(1, 17)[None]
        for dtype in (torch.float16, torch.bfloat16):
            with torch.no_grad():
                ours = on_kernels(packed("opt"), "int16", dtype)(ids).logits
                theirs = load(packed("opt"), dtype)(ids).logits
            self.assertEqual(ours.dtype, dtype)
            self.assertLess((ours - theirs).float().norm() / theirs.float().norm(), 0.02)

    def test_the_kernels_take_the_place_of_the_stored_bits(self) -> None:
        model = load(packed("books-2M"))
        with self.assertLogs("bitmill.kernels", "WARNING") as said:
            package.use_kernels(model)
        self.assertRegex(said.output[0], r"28 packed linears.* kernel \w+, activations int8.*"
                                         r"They hold [\d.]+ MB, in place of [\d.]+ MB")
        linear = model.model.layers[0].mlp.up_proj
        self.assertEqual(dict(linear.named_buffers()), {})
        self.assertIn("kernels=True", repr(linear))
        with self.assertRaisesRegex(ValueError, "load the model without kernels to dequantize"):
            model.dequantize()
        with self.assertRaisesRegex(ValueError, "on the kernels already"):
            package.use_kernels(model)
        with self.assertRaisesRegex(ValueError, "no stored bits any more"):
            model.state_dict()

    def test_gradients_are_refused_unless_none_are_recorded(self) -> None:
        model, ids = on_kernels(packed("tied-mha"), "int8"), torch.arange(1, 9)[None]
        with self.assertRaisesRegex(ValueError, r"no gradients: call the model under torch\.no_grad"):
            model(ids)
        with torch.inference_mode():
            self.assertTrue(torch.isfinite(model(ids).logits).all())

    def test_an_input_on_another_device_is_refused(self) -> None:
        linear = on_kernels(packed("tied-mha"), "int8").model.layers[0].mlp.up_proj
        with self.assertRaisesRegex(ValueError, "compute on the CPU, and their input is on meta"):
            linear(torch.empty(2, linear.in_features, device="meta"))

    def test_offloaded_and_ordinary_models_are_refused(self) -> None:
        model = load(packed("tied-mha"))
        model.model.layers[1].mlp.up_proj.to("meta")
        with self.assertRaisesRegex(ValueError, r"layers\.1\.mlp\.up_proj is offloaded"):
            package.use_kernels(model)
        with self.assertRaisesRegex(ValueError, "has no packed linear"):
            package.use_kernels(load(exported("tied-mha", "float32")))
        with self.assertRaisesRegex(ValueError, "no kernels for activations 'int4'.*int8, int16"):
            package.use_kernels(load(packed("tied-mha")), "int4")

    def test_torch_compile_makes_one_graph_of_a_linear_and_a_model(self) -> None:
        model = on_kernels(packed("llama-biases"), "int8")
        linear = model.model.layers[0].self_attn.q_proj
        compiled = torch.compile(linear, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            for tokens in (1, 5):
                x = torch.randn(tokens, linear.in_features)
                self.assertTrue(torch.equal(compiled(x), linear(x)))
            ids = torch.arange(1, 9)[None]
            whole = torch.compile(model, backend="aot_eager")
            self.assertTrue(torch.equal(whole(ids).logits, model(ids).logits))


ASKING = """
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32,
                                             trust_remote_code=True)
with torch.no_grad():
    print("logits", model(torch.arange(1, 9)[None]).logits.double().abs().sum().item())
"""


def ask_alone(python_path: str) -> subprocess.CompletedProcess:
    """The file of the folder loads it, in a process of its own."""
    others = {"PYTHONPATH": python_path, "BITMILL_KERNELS": "int16",
              "HF_MODULES_CACHE": str(SCRATCH / "hf-modules")}
    return subprocess.run([sys.executable, "-c", ASKING, str(packed("tied-mha"))],
                          capture_output=True, text=True, env={**os.environ, **others})


class TheVariable(unittest.TestCase):
    def test_it_asks_for_the_kernels_when_a_model_is_loaded(self) -> None:
        ids = torch.arange(1, 9)[None]
        with torch.no_grad():
            wanted = on_kernels(packed("tied-mha"), "int16")(ids).logits
            with mock.patch.dict(os.environ, BITMILL_KERNELS="int16"), \
                    self.assertNoLogs("bitmill.modeling_bitmill", "WARNING"), \
                    self.assertLogs("bitmill.kernels", "WARNING") as said:
                model = load(packed("tied-mha"))
            self.assertTrue(torch.equal(model(ids).logits, wanted))
        self.assertIn("activations int16", said.output[0])

    def test_the_file_of_the_folder_finds_the_package(self) -> None:
        with torch.no_grad():
            wanted = on_kernels(packed("tied-mha"), "int16")(torch.arange(1, 9)[None]).logits
        done = ask_alone(str(PACKAGE))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split(), ["logits", str(wanted.double().abs().sum().item())])
        self.assertIn("activations int16", done.stderr)

    def test_the_file_of_the_folder_alone_says_what_is_missing(self) -> None:
        done = ask_alone("")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("BITMILL_KERNELS=int16 asks for kernels, which need the Python package",
                      done.stderr)

    def test_without_it_the_library_changes_nothing(self) -> None:
        ids = torch.arange(1, 9)[None]
        with self.assertLogs("bitmill.modeling_bitmill", "WARNING") as said:
            ours = load(packed("tied-mha"))
        self.assertIn("14 packed linears. Their products are plain torch code", said.output[0])
        with torch.no_grad():
            theirs = load(exported("tied-mha", "float32"))(ids).logits
            self.assertTrue(torch.equal(ours(ids).logits, theirs))

    def test_a_wish_that_cannot_be_met_ends_the_load(self) -> None:
        for words, wish in (("no kernels for activations 'yes'", {"BITMILL_KERNELS": "yes"}),
                            ("/nowhere.so cannot be loaded",
                             {"BITMILL_KERNELS": "int8", "BITMILL_LIBRARY": "/nowhere.so"})):
            with mock.patch.dict(os.environ, wish), \
                    self.assertRaisesRegex((ValueError, RuntimeError), words):
                load(packed("tied-mha"))

    def test_a_configuration_object_cannot_ask(self) -> None:
        with self.assertRaisesRegex(ValueError, "set BITMILL_KERNELS"):
            package.PackedConfig(version=1, kernels="int8")


if __name__ == "__main__":
    unittest.main()
