"""The stored bits, taken apart: against a loop that follows FORMAT.md word for word."""

from __future__ import annotations

import sys
import unittest
from unittest import mock

import torch
from folders import PACKAGE

sys.path.insert(0, str(PACKAGE))
from bitmill import modeling_bitmill as bm  # noqa: E402


def words(items: list[int], bits: int) -> list[int]:
    """FORMAT.md: the lowest bits of a word are its first item. As signed 32-bit numbers."""
    per_word = 32 // bits
    found = []
    for first in range(0, len(items), per_word):
        word = sum(item << (bits * n) for n, item in enumerate(items[first : first + per_word]))
        found.append(word - (1 << 32) if word >= 1 << 31 else word)
    return found


class Linear:
    """Random values of a linear, its parts, and its weight by the formulas of FORMAT.md."""

    def __init__(self, rows: int, cols: int, salient: int, seed: int = 1) -> None:
        random = torch.Generator().manual_seed(seed)

        def ints(top: int, *shape: int) -> list:
            return torch.randint(top, shape, generator=random).tolist()

        def halves(count: int) -> torch.Tensor:
            return torch.randn(count, generator=random).half()

        chosen = sorted(torch.randperm(cols, generator=random)[:salient].tolist())
        low = [col for col in range(cols) if col not in chosen]
        signs, codes = ints(2, rows, len(low)), ints(16, rows, salient)
        zeros = ints(16, rows)
        self.parts = {
            "signs": torch.tensor([words(row, 1) for row in signs]).reshape(rows, -1).int(),
            "codes": torch.tensor([words(row, 4) for row in codes]).reshape(rows, -1).int(),
            "mask": torch.tensor(words([int(c in chosen) for c in range(cols)], 1)).int(),
            "code_zero": torch.tensor(words(zeros, 4)).int(),
            "row_scale": halves(rows),
            "row_mean": halves(rows),
            "col_gain": halves(len(low)),
            "code_scale": halves(rows),
        }
        parts = {name: part.float() for name, part in self.parts.items()}
        self.weight = torch.zeros(rows, cols)
        for row in range(rows):
            for j, col in enumerate(low):
                inner = parts["row_scale"][row] * (2 * signs[row][j] - 1) + parts["row_mean"][row]
                self.weight[row, col] = parts["col_gain"][j] * inner
            for c, col in enumerate(chosen):
                self.weight[row, col] = parts["code_scale"][row] * (codes[row][c] - zeros[row])


SHAPES = [(1, 1, 0), (1, 1, 1), (2, 5, 2), (3, 31, 0), (9, 33, 33), (8, 64, 13), (17, 67, 14)]


class Unpacking(unittest.TestCase):
    def test_odd_shapes_equal_the_formulas_bit_for_bit(self) -> None:
        for shape in SHAPES:
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                linear = Linear(*shape)
                found = bm.unpack_weight(linear.parts, dtype)
                self.assertTrue(torch.equal(found, linear.weight.to(dtype)), (shape, dtype))

    def test_tiles_of_any_size_give_the_same(self) -> None:
        linear = Linear(17, 67, 14)
        for weights in (1, 68, 200, 1000):
            with mock.patch.object(bm, "WEIGHTS_PER_TILE", weights):
                found = bm.unpack_weight(linear.parts, torch.float32)
            self.assertTrue(torch.equal(found, linear.weight), weights)

    def test_the_worked_example_of_the_page(self) -> None:
        # FORMAT.md, "Worked example"
        parts = {
            "signs": torch.tensor([[5], [2]]).int(),
            "codes": torch.tensor([[0xF0], [0x2A]]).int(),
            "mask": torch.tensor([0x12]).int(),
            "code_zero": torch.tensor([0x58]).int(),
            "row_scale": torch.tensor([1, 0.5]).half(),
            "row_mean": torch.tensor([0.25, 0]).half(),
            "col_gain": torch.tensor([1.0, 2, 1]).half(),
            "code_scale": torch.tensor([0.125, 0.0625]).half(),
        }
        wanted = [[1.25, -1, -1.5, 1.25, 0.875], [-0.5, 0.3125, 1, -0.5, -0.1875]]
        self.assertEqual(bm.unpack_weight(parts, torch.float32).tolist(), wanted)

    def test_parts_that_do_not_fit_are_refused_by_name(self) -> None:
        shapes = {part: tuple(t.shape) for part, t in Linear(9, 67, 14).parts.items()}
        self.assertEqual(bm.check_parts("up_proj", shapes), (9, 53))
        for part, shape in {"signs": (9, 3), "code_zero": (1,), "row_mean": (8,)}.items():
            with self.assertRaisesRegex(ValueError, rf"up_proj\.weight\.{part}"):
                bm.check_parts("up_proj", {**shapes, part: shape})
        del shapes["col_gain"]
        with self.assertRaisesRegex(ValueError, "no col_gain"):
            bm.check_parts("up_proj", shapes)

    def test_a_mask_that_disagrees_is_refused(self) -> None:
        parts = dict(Linear(9, 67, 14).parts)
        bm.check_mask("up_proj", parts, 67)
        for mask in (parts["mask"] ^ 1, torch.zeros_like(parts["mask"]), parts["mask"][:2]):
            with self.assertRaisesRegex(ValueError, "the mask of up_proj"):
                bm.check_mask("up_proj", {**parts, "mask": mask}, 67)

    def test_another_version_and_another_grid_are_refused(self) -> None:
        bm.PackedConfig(version=1, quant_method="ptq161", bitmill={})
        for wrong in ({"version": 2}, {}, {"version": 1, "quant_method": "gptq"}):
            with self.assertRaisesRegex(ValueError, "this file reads 'ptq161', version 1"):
                bm.PackedConfig(**wrong)
        with self.assertRaisesRegex(ValueError, "grid 'nf4'"):
            bm.PackedConfig(version=1, grid="nf4")


if __name__ == "__main__":
    unittest.main()
