"""transformers and packed folders: with the package, with the folder's own file, with neither."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import unittest

import torch
import transformers
from folders import BOOKS_TEXT, GOLDEN, PACKAGE, SCRATCH, bitmill, exported, golden_windows, packed
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(PACKAGE))
import bitmill as package  # noqa: E402

# One of every family, with biases, tied and untied heads, several shards.
MODELS = ["llama-biases", "llama-3", "mistral", "opt", "opt-post-norm", "qwen2", "qwen3",
          "tied-mha", "untied-gqa"]


def load(folder, **options) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, **options)


def logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(ids.long()).logits


def packed_linears(model: torch.nn.Module) -> int:
    return sum(isinstance(module, package.PackedLinear) for module in model.modules())


def golden_ids(name: str) -> torch.Tensor:
    return load_file(golden_windows(name))["input_ids"]


def book_windows() -> torch.Tensor:
    """[8, 64] tokens of the text that is not trained on, as `bitmill tokenize` cuts it."""
    path = SCRATCH / "eval.safetensors"
    if not path.exists():
        bitmill("tokenize", "--model", packed("books-2M"), "--corpus", BOOKS_TEXT / "eval.txt",
                "--output", path)
    return load_file(path)["input_ids"].flatten()[: 8 * 64].view(8, 64)


def run_alone(code: str, folder, **environment: str) -> subprocess.CompletedProcess:
    """Python without the package, in a process of its own."""
    others = {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1",
              "HF_MODULES_CACHE": str(SCRATCH / "hf-modules"), **environment}
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True,
                          text=True, env={**os.environ, **others})


class WithThePackage(unittest.TestCase):
    def test_logits_of_every_family_are_those_of_the_export(self) -> None:
        for name in MODELS:
            ours, theirs = load(packed(name), dtype=torch.float32), load(exported(name, "float32"))
            self.assertGreater(packed_linears(ours), 0, name)
            ids = golden_ids(name)
            self.assertTrue(torch.equal(logits(ours, ids), logits(theirs, ids)), name)

    def test_books_has_the_logits_of_the_export_in_each_type(self) -> None:
        ids = book_windows()
        for word in ("float32", "float16", "bfloat16"):
            dtype = getattr(torch, word)
            ours = load(packed("books-2M"), dtype=dtype)
            theirs = load(exported("books-2M", word), dtype=dtype)
            self.assertEqual(packed_linears(ours), 28)
            self.assertTrue(torch.equal(logits(ours, ids), logits(theirs, ids)), word)

    def test_books_generates_what_its_export_does(self) -> None:
        prompt, found = book_windows()[:2, :16].long(), []
        for folder in (packed("books-2M"), exported("books-2M", "float32")):
            model = load(folder, dtype=torch.float32)
            found.append(model.generate(prompt, attention_mask=torch.ones_like(prompt),
                                        do_sample=False, max_new_tokens=24, pad_token_id=0))
        self.assertTrue(torch.equal(*found))
        self.assertGreater(found[0].shape[1], 16)

    def test_perplexity_is_that_of_bitmill_eval(self) -> None:
        corpus = SCRATCH / "windows.safetensors"
        windows = book_windows()
        save_file({"input_ids": windows.contiguous()}, corpus)
        here = json.loads(bitmill("eval", "--model", packed("books-2M"), "--corpus", corpus,
                                  "--json"))["perplexity"]
        scores = logits(load(packed("books-2M"), dtype=torch.float32), windows)[:, :-1]
        wanted = windows[:, 1:].flatten().long()
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted)
        self.assertLess(abs(math.exp(loss.double().item()) / here - 1), 1e-5)

    def test_the_base_model_without_its_head_loads_too(self) -> None:
        ids = book_windows()[:1].long()
        both = [transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)(ids)[0]
                for folder in (packed("books-2M"), exported("books-2M", "float32"))]
        self.assertTrue(torch.equal(*both))

    def test_a_cast_does_not_round_what_is_stored(self) -> None:
        model = load(packed("books-2M"), dtype=torch.float32)
        linear = model.model.layers[0].mlp.up_proj
        before = linear.unpacked(torch.float32)
        model.to(torch.bfloat16)
        self.assertEqual(linear.col_gain.dtype, torch.float16)
        self.assertTrue(torch.equal(linear.unpacked(torch.float32), before))

    def test_gradients_of_inputs_flow_and_weights_have_none(self) -> None:
        linear = load(packed("books-2M"), dtype=torch.float32).model.layers[0].mlp.up_proj
        x = torch.randn(3, 192, requires_grad=True)
        linear(x).sum().backward()
        self.assertGreater(x.grad.abs().max().item(), 0)
        self.assertEqual([name for name, _ in linear.named_parameters()], [])

    def test_saving_is_refused_and_works_after_dequantize(self) -> None:
        model = load(packed("books-2M"), dtype=torch.float32)
        with self.assertRaisesRegex(ValueError, "not serializable"):
            model.save_pretrained(SCRATCH / "refused")
        ids = book_windows()
        before = logits(model, ids)
        model.dequantize().save_pretrained(SCRATCH / "saved")
        self.assertEqual(packed_linears(model), 0)
        config = json.loads((SCRATCH / "saved/config.json").read_text())
        for key in ("quantization_config", "auto_map", "transformers_weights"):
            self.assertNotIn(key, config)
        self.assertTrue(torch.equal(logits(load(SCRATCH / "saved"), ids), before))

    def test_a_model_that_was_cast_is_dequantized_to_what_it_was_cast_to(self) -> None:
        ids = book_windows()
        theirs = load(exported("books-2M", "bfloat16"), dtype=torch.bfloat16)
        model = load(packed("books-2M"), dtype=torch.float32).to(torch.bfloat16).dequantize()
        self.assertEqual({parameter.dtype for parameter in model.parameters()}, {torch.bfloat16})
        for name, parameter in model.named_parameters():
            self.assertTrue(parameter.requires_grad, name)
        self.assertTrue(torch.equal(model.model.layers[0].mlp.up_proj.weight,
                                    theirs.model.layers[0].mlp.up_proj.weight))
        self.assertTrue(torch.isfinite(logits(model, ids)).all())

    def test_a_dequantized_model_can_be_trained(self) -> None:
        model = load(packed("books-2M"), dtype=torch.float32).dequantize()
        for name, parameter in model.named_parameters():
            self.assertTrue(parameter.requires_grad, name)
        model(book_windows()[:1].long()).logits.sum().backward()
        self.assertIsNotNone(model.model.layers[0].mlp.up_proj.weight.grad)

    def test_offloaded_linears_are_not_dequantized_to_nothing(self) -> None:
        model = load(packed("books-2M"), dtype=torch.float32)
        model.model.layers[3].mlp.up_proj.to("meta")
        with self.assertRaisesRegex(ValueError, "offloaded linears cannot be unpacked"):
            model.dequantize()
        self.assertEqual(packed_linears(model), 28)

    def test_tensor_parallelism_is_refused_where_nothing_says_it_earlier(self) -> None:
        model = load(packed("books-2M"), dtype=torch.float32)
        quantizer = model.hf_quantizer
        model._tp_size = 2
        with self.assertRaisesRegex(ValueError, "tensor parallelism; load without it"):
            quantizer._process_model_after_weight_loading(model)

    def test_training_is_refused(self) -> None:
        self.assertFalse(load(packed("books-2M")).hf_quantizer.is_trainable)

    def test_a_folder_without_one_of_the_parts_is_refused(self) -> None:
        folder = SCRATCH / "cut"
        shutil.copytree(packed("tied-mha"), folder)
        tensors = load_file(folder / "model.safetensors")
        del tensors["model.layers.1.mlp.up_proj.weight.col_gain"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        with self.assertRaisesRegex(ValueError, r"layers\.1\.mlp\.up_proj\.weight has no col_gain"):
            load(folder)


TRUSTING = """
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32,
                                             trust_remote_code=True)
with torch.no_grad():
    print("logits", model(torch.arange(1, 9)[None]).logits.double().abs().sum().item())
"""
PLAIN = TRUSTING.replace("True)", "False)")
OWN_CLASS = PLAIN.replace("AutoModelForCausalLM", "LlamaForCausalLM").replace(
    ",\n                                             trust_remote_code=False", "")


class WithoutThePackage(unittest.TestCase):
    def check_stops(self, done: subprocess.CompletedProcess) -> None:
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("these weights are packed by bitmill", done.stderr)
        self.assertIn("trust_remote_code=True", done.stderr)

    def test_the_file_of_the_folder_is_enough_where_it_is_trusted(self) -> None:
        done = run_alone(TRUSTING, packed("books-2M"))
        self.assertEqual(done.returncode, 0, done.stderr)
        model = load(exported("books-2M", "float32"))
        wanted = logits(model, torch.arange(1, 9)[None]).double().abs().sum().item()
        self.assertEqual(done.stdout.split(), ["logits", str(wanted)])

    def test_plain_transformers_stops_and_says_what_to_do(self) -> None:
        self.check_stops(run_alone(PLAIN, packed("books-2M")))

    def test_the_class_of_the_model_stops_too(self) -> None:
        self.check_stops(run_alone(OWN_CLASS, packed("books-2M")))

    def test_without_the_key_it_would_load_noise(self) -> None:
        """What the key is for. When this fails, transformers refuses by itself: change pages."""
        folder = SCRATCH / "unlocked"
        shutil.copytree(packed("books-2M"), folder)
        config = json.loads((folder / "config.json").read_text())
        del config["transformers_weights"]
        (folder / "config.json").write_text(json.dumps(config))
        done = run_alone(PLAIN, folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        wanted = logits(load(exported("books-2M", "float32")), torch.arange(1, 9)[None])
        self.assertNotEqual(done.stdout.split()[1], str(wanted.double().abs().sum().item()))

    def test_an_export_needs_nothing(self) -> None:
        done = run_alone(PLAIN, exported("books-2M", "float32"))
        self.assertEqual(done.returncode, 0, done.stderr)


class OtherVersions(unittest.TestCase):
    def test_transformers_4_is_refused_by_name(self) -> None:
        code = f"""
import sys
sys.path.insert(0, {str(PACKAGE)!r})
import transformers
transformers.__version__ = "4.57.6"
import bitmill
"""
        done = run_alone(code, "")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("transformers 4.57.6", done.stderr)
        self.assertIn("install transformers 5.0 or newer", done.stderr)


class TheCopy(unittest.TestCase):
    def test_a_packed_folder_carries_the_file_of_this_tree(self) -> None:
        ours = (PACKAGE / "bitmill/modeling_bitmill.py").read_bytes()
        self.assertEqual((packed("books-2M") / "modeling_bitmill.py").read_bytes(), ours)

    def test_an_export_carries_neither_file_nor_keys(self) -> None:
        folder = exported("books-2M", "float32")
        self.assertFalse((folder / "modeling_bitmill.py").exists())
        source = json.loads((GOLDEN / "tied-mha/config.json").read_text())
        found = json.loads((exported("tied-mha", "float32") / "config.json").read_text())
        self.assertLessEqual(set(found) - set(source), {"dtype", "torch_dtype"})
        self.assertEqual(set(source) - set(found), set())


if __name__ == "__main__":
    unittest.main()
