"""bitmill's CPU kernels in torch: the operator bitmill::packed_linear.

The kernels are in libbitmill.so, behind a C interface that knows nothing of torch, so that one build
of it serves every torch (src/product/product_abi.hpp is its contract). This file finds the library,
makes a product of every packed linear of a model, and tells torch of the operator. Nothing here
happens unless somebody asks: use_kernels(), or the environment variable BITMILL_KERNELS.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import pathlib
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.utils import logging

from bitmill.modeling_bitmill import PARTS

logger = logging.get_logger(__name__)

ABI_VERSION = 1  # the contract that this file was written for
ACTIVATIONS = ("int8", "int16", "float32")
LIBRARY_NAME = "libbitmill.so"
LIBRARY_VARIABLE = "BITMILL_LIBRARY"
# A kernel's name, for measurements side by side; `bitmill generate` reads it too.
KERNEL_VARIABLE = "BITMILL_CPU_KERNEL"
# Longer than what torch computes between two products of a token; threads sleep after it.
SPIN_MICROSECONDS = 200
HOW_TO_GET_IT = (
    "build it with `cmake --build --preset cpu --target bitmill_python`, which puts it beside the "
    f"package, or name a build's lib/{LIBRARY_NAME} in {LIBRARY_VARIABLE}"
)

_number, _count, _text, _handle = ctypes.c_int32, ctypes.c_int64, ctypes.c_char_p, ctypes.c_void_p
_FUNCTIONS = {  # result, arguments
    "bitmill_error": (_text, ()),
    "bitmill_threads_create": (_handle, (_number, _count)),
    "bitmill_options_create": (_handle, (_text, _text)),
    "bitmill_options_destroy": (None, (_handle,)),
    "bitmill_kernel_name": (_text, (_handle,)),
    "bitmill_slow_kernel_note": (_text, ()),
    "bitmill_packed_create": (
        _handle, (_handle, _text, _count, _count, ctypes.POINTER(_handle), ctypes.POINTER(_count))
    ),
    "bitmill_product_destroy": (None, (_handle,)),
    "bitmill_product_bytes": (_count, (_handle,)),
    "bitmill_product_multiply": (_number, (_handle, _handle, _handle, _count, _handle)),
}


def library_path() -> pathlib.Path:
    """The library that would be loaded, there or not."""
    named = os.environ.get(LIBRARY_VARIABLE)
    return pathlib.Path(named) if named else pathlib.Path(__file__).with_name(LIBRARY_NAME)


class Library:
    """libbitmill.so, its functions declared. RuntimeError when it cannot be used."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self.calls = ctypes.CDLL(str(path.absolute()))
        except OSError as error:
            raise RuntimeError(
                f"bitmill: the kernels were asked for, and {path} cannot be loaded ({error}): "
                f"{HOW_TO_GET_IT}; without {LIBRARY_VARIABLE} only the package's folder is searched"
            ) from None
        self._check_version()
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self.calls, name)
            function.restype, function.argtypes = result, arguments
        self._pools: dict[tuple[int, int], int] = {}  # (process, threads) -> handle

    def _check_version(self) -> None:
        try:
            version = self.calls.bitmill_abi_version()
        except AttributeError:
            raise RuntimeError(f"bitmill: {self.path} is no library of bitmill") from None
        if version != ABI_VERSION:
            raise RuntimeError(
                f"bitmill: {self.path} has version {version} of the C interface, and this package "
                f"needs {ABI_VERSION}: take both from one source; {HOW_TO_GET_IT}"
            )

    def checked(self, result: Any) -> Any:
        """`result` of a call; RuntimeError with the library's words when it says failure."""
        if not result:
            words = self.calls.bitmill_error().decode(errors="replace")
            raise RuntimeError(f"bitmill: {words}")
        return result

    def pool(self, threads: int) -> int:
        """Threads, made once for each number of them, and again in a child of fork()."""
        key = (os.getpid(), threads)
        if key not in self._pools:
            made = self.calls.bitmill_threads_create(threads, SPIN_MICROSECONDS)
            self._pools[key] = self.checked(made)
        return self._pools[key]


load_library = functools.cache(Library)


class Options:
    """What the products of one model share."""

    def __init__(self, library: Library, activations: str) -> None:
        self.library = library
        kernel = os.environ.get(KERNEL_VARIABLE, "auto")
        made = library.calls.bitmill_options_create(activations.encode(), kernel.encode())
        self.handle = library.checked(made)
        weakref.finalize(self, library.calls.bitmill_options_destroy, self.handle)

    def kernel(self) -> str:
        return self.library.calls.bitmill_kernel_name(self.handle).decode()


class PackedProduct:
    """A packed linear in the kernels' form. It holds a copy of the parts, and never changes.

    The operator finds it by its key: a graph that torch.compile made holds numbers, no objects.
    """

    def __init__(
        self, options: Options, name: str, cols: int, parts: Mapping[str, torch.Tensor]
    ) -> None:
        calls = options.library.calls
        self.library = options.library
        self.rows, self.cols = parts["row_scale"].numel(), cols
        stored = [parts[part].contiguous() for part in PARTS]
        places = (_handle * len(PARTS))(*(part.data_ptr() for part in stored))
        sizes = (_count * len(PARTS))(*(part.nbytes for part in stored))
        made = calls.bitmill_packed_create(
            options.handle, name.encode(), self.rows, cols, places, sizes
        )
        self.handle = self.library.checked(made)
        weakref.finalize(self, calls.bitmill_product_destroy, self.handle)
        self.bytes = calls.bitmill_product_bytes(self.handle)
        self.key = next(_keys)
        _products[self.key] = self

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x float32 [..., cols] on the CPU, to float32 [..., rows]."""
        return torch.ops.bitmill.packed_linear(x, self.key, self.rows)

    def multiply(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """The product itself. Both contiguous."""
        tokens = y.numel() // self.rows if self.rows else 0
        pool = self.library.pool(torch.get_num_threads())
        done = self.library.calls.bitmill_product_multiply(
            self.handle, pool, x.data_ptr(), tokens, y.data_ptr()
        )
        self.library.checked(done)

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedProduct:
        return self

    def __reduce__(self) -> Any:
        raise TypeError(
            "bitmill: a linear that the kernels multiply cannot be pickled or sent to another "
            "process: load the folder there"
        )


_keys = itertools.count(1)
_products: weakref.WeakValueDictionary[int, PackedProduct] = weakref.WeakValueDictionary()


# By hand, not by torch.library.custom_op: what that wraps around a call takes longer than a small
# product. `product` is a key, rows the out features.
torch.library.define(
    "bitmill::packed_linear",
    "(Tensor x, int product, int rows) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


@torch.library.impl("bitmill::packed_linear", "cpu")
def packed_linear(x: torch.Tensor, product: int, rows: int) -> torch.Tensor:
    found = _products.get(product)
    if found is None:
        raise RuntimeError(f"bitmill: product {product} is gone: its model was freed")
    if x.dtype != torch.float32 or x.dim() == 0 or x.shape[-1] != found.cols or rows != found.rows:
        raise RuntimeError(
            f"bitmill: a product of {found.rows} rows and {found.cols} columns was given "
            f"{x.dtype} {tuple(x.shape)} for {rows} rows"
        )
    y = torch.empty((*x.shape[:-1], rows), dtype=torch.float32)
    found.multiply(x.contiguous(), y)
    return y


@torch.library.register_fake("bitmill::packed_linear")
def _(x: torch.Tensor, product: int, rows: int) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], rows))


def packed_linears(model: nn.Module) -> dict[str, nn.Module]:
    """By the method, not the class: a packed folder's own copy of the file has a class of its own."""
    found = {name: m for name, m in model.named_modules() if hasattr(m, "take_product")}
    if not found:
        raise ValueError(
            f"bitmill: {type(model).__name__} has no packed linear whose product can be replaced: "
            "it was dequantized, or is no packed model, or the folder's own older file loaded it "
            "(`import bitmill` before)"
        )
    for name, linear in found.items():
        if linear.product is not None:
            raise ValueError(f"bitmill: {name} is on the kernels already; load the model again")
        device = linear.mask.device
        if device.type != "cpu":
            raise ValueError(
                f"bitmill: the kernels compute on the CPU, and {name} is "
                + ("offloaded" if device.type == "meta" else f"on {device}")
                + ": load the whole model on the CPU"
            )
    return found


def use_kernels(model: nn.Module, activations: str = "int8") -> nn.Module:
    """From now on the kernels compute the products of every packed linear of `model`, which must be
    on the CPU. Inputs are rounded as `activations` says: the logits are no longer those of the
    export. The kernels' form takes the place of the stored bits, linear by linear.
    """
    if activations not in ACTIVATIONS:
        raise ValueError(
            f"bitmill: there are no kernels for activations {activations!r}: choose one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    linears = packed_linears(model)
    options = Options(load_library(library_path()), activations)
    stored = held = 0
    for name, linear in linears.items():
        parts = linear.parts()
        product = PackedProduct(options, f"{name}.weight", linear.in_features, parts)
        stored += sum(part.nbytes for part in parts.values())
        held += product.bytes
        linear.take_product(product)
    logger.warning(
        "bitmill: %d packed linears, multiplied on their bits by kernel %s, activations %s, torch's "
        "number of threads (now %d), library %s. They hold %.2f MB, in place of %.2f MB of stored "
        "bits. Logits are near those of the export, not the same. %s",
        len(linears), options.kernel(), activations, torch.get_num_threads(),
        options.library.path, held / 1e6, stored / 1e6,
        options.library.calls.bitmill_slow_kernel_note().decode(),
    )
    return model
