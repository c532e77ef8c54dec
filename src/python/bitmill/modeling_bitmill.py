# Part of bitmill, Apache-2.0. bitmill writes a copy of this file into every folder that it packs.
"""Loads models that bitmill packed (quant_method "ptq161") into transformers.

It is one file that needs nothing else of bitmill: `import bitmill` imports it, and a packed folder
names its own copy in "auto_map", for trust_remote_code=True. Importing it registers a quantizer.
Every linear that is packed becomes a PackedLinear, which keeps the stored bits and unpacks them for
each product. The weights are those that `bitmill export` writes, bit for bit. Where the environment
variable BITMILL_KERNELS asks for it, bitmill's kernels compute on the bits instead; they are in the
package (bitmill/kernels.py), not in this file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import transformers
from safetensors import safe_open
from torch import nn

LOWEST_TRANSFORMERS = (5, 0)
if tuple(int(part) for part in transformers.__version__.split(".")[:2]) < LOWEST_TRANSFORMERS:
    raise ImportError(
        f"bitmill: transformers {transformers.__version__} has no hooks for packed weights whose "
        "names have dots; install transformers 5.0 or newer, or use the folder that "
        "`bitmill export` writes"
    )

from transformers.core_model_loading import WeightRenaming  # noqa: E402
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING  # noqa: E402
from transformers.quantizers.auto import (  # noqa: E402
    AUTO_QUANTIZER_MAPPING,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer  # noqa: E402
from transformers.utils import logging  # noqa: E402
from transformers.utils.quantization_config import QuantizationConfigMixin  # noqa: E402

logger = logging.get_logger(__name__)

QUANT_METHOD = "ptq161"
FORMAT_VERSION = 1
WORDS = ("signs", "codes", "mask", "code_zero")  # I32
SCALES = ("row_scale", "row_mean", "col_gain", "code_scale")  # F16
PARTS = WORDS + SCALES
# Asks for kernels when a model is loaded: how precisely they take inputs (int8, int16, float32).
KERNELS_VARIABLE = "BITMILL_KERNELS"
# The weights of a tile that is unpacked at once: temporary tensors stay below about 100 MB.
WEIGHTS_PER_TILE = 1 << 22
NO_TENSOR_PARALLELISM = (
    "bitmill: packed linears cannot be cut for tensor parallelism; load without it"
)

Parts = Mapping[str, torch.Tensor]


def words_for(items: int, per_word: int) -> int:
    return -(-items // per_word)


def unpack_items(words: torch.Tensor, items: int, bits: int) -> torch.Tensor:
    """Words int32 [..., words] to uint8 [..., items], `bits` (1 or 4) each; lowest bits first."""
    if sys.byteorder != "little":
        raise NotImplementedError("bitmill: packed words are only read on little-endian machines")
    if items == 0:
        return torch.empty((*words.shape[:-1], 0), dtype=torch.uint8, device=words.device)
    octets = words.contiguous().view(torch.uint8).unsqueeze(-1)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=words.device)
    return ((octets >> shifts) & ((1 << bits) - 1)).flatten(-2)[..., :items]


def unpack_weight(parts: Parts, dtype: torch.dtype) -> torch.Tensor:
    """The weight [rows, cols] of the eight parts, computed in float32, rounded once to `dtype`."""
    rows, low = parts["row_scale"].numel(), parts["col_gain"].numel()
    mask = unpack_items(parts["mask"], 32 * parts["mask"].numel(), 1).bool()
    salient = int(mask.sum())
    cols = low + salient
    # source column -> column among (low, salient)
    place = torch.argsort(mask[:cols].to(torch.uint8), stable=True).argsort()
    scale, mean = parts["row_scale"].float()[:, None], parts["row_mean"].float()[:, None]
    gain, code_scale = parts["col_gain"].float(), parts["code_scale"].float()[:, None]
    zero = unpack_items(parts["code_zero"], rows, 4).float()[:, None]
    weight = torch.empty((rows, cols), dtype=dtype, device=mask.device)
    tile = max(1, WEIGHTS_PER_TILE // max(1, cols))
    for first in range(0, rows, tile):
        some = slice(first, first + tile)
        signs = unpack_items(parts["signs"][some], low, 1).bool()
        codes = unpack_items(parts["codes"][some], salient, 4).float()
        binary = torch.where(signs, scale[some] + mean[some], mean[some] - scale[some]).mul_(gain)
        multibit = codes.sub_(zero[some]).mul_(code_scale[some])
        both = torch.cat((binary.to(dtype), multibit.to(dtype)), dim=1)
        torch.index_select(both, 1, place, out=weight[some])
    return weight


def check_parts(name: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int]:
    """(rows, low columns) of a linear, from the shapes of its parts. ValueError if they differ."""
    missing = [part for part in PARTS if part not in shapes]
    if missing:
        raise ValueError(f"bitmill: {name}.weight has no {', '.join(missing)}: a file is missing")
    if len(shapes["row_scale"]) != 1 or len(shapes["col_gain"]) != 1 or len(shapes["codes"]) != 2:
        raise ValueError(f"bitmill: the parts of {name}.weight have unknown shapes {dict(shapes)}")
    rows, low = shapes["row_scale"][0], shapes["col_gain"][0]
    wanted = {
        "signs": (rows, words_for(low, 32)),
        "codes": (rows, shapes["codes"][1]),
        "code_zero": (words_for(rows, 8),),
        "row_mean": (rows,),
        "code_scale": (rows,),
    }
    for part, shape in wanted.items():
        if tuple(shapes[part]) != shape:
            raise ValueError(f"bitmill: {name}.weight.{part} is {shapes[part]}, not {shape}")
    return rows, low


def check_mask(name: str, parts: Parts, cols: int) -> None:
    """ValueError when mask and other parts disagree, as they do when a part was not loaded."""
    mask = unpack_items(parts["mask"], 32 * parts["mask"].numel(), 1)
    low = cols - int(mask.sum())
    agree = parts["mask"].numel() == words_for(cols, 32) and not bool(mask[cols:].any())
    if not agree or low != parts["col_gain"].numel():
        raise ValueError(
            f"bitmill: the mask of {name}.weight says {low} of {cols} columns are low, and its "
            f"col_gain has {parts['col_gain'].numel()}: the folder is damaged (`bitmill verify`), "
            "or this transformers did not load every part"
        )


class PackedLinear(nn.Module):
    """A linear on the stored parts. Its weights cannot be trained; gradients of inputs flow.

    After take_product() it is on kernels, and has no parts.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], plain: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.salient = plain.in_features - shapes["col_gain"][0]
        self.product: Callable[[torch.Tensor], torch.Tensor] | None = None
        for part in PARTS:
            dtype = torch.int32 if part in WORDS else torch.float16
            self.register_buffer(part, torch.empty(shapes[part], dtype=dtype, device="meta"))
        self.bias = plain.bias

    def _apply(self, fn: Any, recurse: bool = True) -> PackedLinear:
        # Moves to devices go through; a cast would round what is stored.
        stored = {part: getattr(self, part) for part in SCALES}
        super()._apply(fn, recurse)
        for part, tensor in stored.items():
            if tensor is not None and getattr(self, part).dtype != tensor.dtype:
                setattr(self, part, tensor.to(getattr(self, part).device))
        return self

    def parts(self) -> Parts:
        return {part: getattr(self, part) for part in PARTS}

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        return unpack_weight(self.parts(), dtype)

    def take_product(self, product: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`product` computes from now on, float32 to float32 on the CPU, without gradients; the
        parts are let go."""
        self.product = product
        for part in PARTS:
            setattr(self, part, None)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        # Without a word, torch would leave out buffers that are None.
        if self.product is not None:
            raise ValueError(
                "bitmill: linears that the kernels compute have no stored bits any more: copy the "
                "packed folder, or load the model without kernels"
            )
        super()._save_to_state_dict(*args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.product is None:
            return nn.functional.linear(x, self.unpacked(x.dtype), self.bias)
        if x.device.type != "cpu":
            raise ValueError(
                f"bitmill: the kernels compute on the CPU, and their input is on {x.device}: keep "
                "the model on the CPU, or load it without kernels"
            )
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                "bitmill: the kernels record no gradients: call the model under torch.no_grad(), "
                "or load it without kernels"
            )
        y = self.product(x.float())
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"salient={self.salient}, bias={self.bias is not None}, "
            f"kernels={self.product is not None}"
        )


def read_shapes(files: Iterable[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Name of every packed linear in safetensors files -> shapes of its parts. Headers only."""
    linears: dict[str, dict[str, tuple[int, ...]]] = {}
    for file in files:
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118  not a dict
                name, _, part = key.rpartition(".weight.")
                if not name or part not in PARTS:
                    continue
                view = tensors.get_slice(key)
                wanted = "I32" if part in WORDS else "F16"
                if view.get_dtype() != wanted:
                    raise ValueError(f"bitmill: {file}: {key} is {view.get_dtype()}, not {wanted}")
                linears.setdefault(name, {})[part] = tuple(view.get_shape())
    return linears


def find_linear(model: nn.Module, name: str) -> tuple[nn.Module, str, nn.Linear]:
    """(parent, attribute, module). A base model lacks the prefix of the names, or has one more."""
    prefix = getattr(model, "base_model_prefix", "") + "."
    for path in (name, name.removeprefix(prefix), prefix + name):
        parent, _, leaf = path.rpartition(".")
        try:
            found = model.get_submodule(path)
        except AttributeError:
            continue
        if not isinstance(found, nn.Linear):
            raise ValueError(f"bitmill: {path} is {type(found).__name__}; only nn.Linear is packed")
        return model.get_submodule(parent), leaf, found
    raise ValueError(f"bitmill: {name}.weight is packed, and {type(model).__name__} has no {name}")


def replace_linears(model: nn.Module, files: Iterable[str]) -> int:
    """Puts a PackedLinear, on the meta device, in the place of every packed linear."""
    linears = read_shapes(files)
    for name, shapes in linears.items():
        rows, low = check_parts(name, shapes)
        parent, leaf, plain = find_linear(model, name)
        if rows != plain.out_features or low > plain.in_features:
            raise ValueError(
                f"bitmill: the packed {name}.weight has {rows} rows and {low} low columns, and "
                f"config.json makes it [{plain.out_features}, {plain.in_features}]"
            )
        setattr(parent, leaf, PackedLinear(shapes, plain))
    return len(linears)


class PackedConfig(QuantizationConfigMixin):
    """quantization_config of a packed folder."""

    def __init__(self, version: int | None = None, **others: Any) -> None:
        method = others.pop("quant_method", QUANT_METHOD)
        if method != QUANT_METHOD or version != FORMAT_VERSION:
            raise ValueError(
                f"bitmill: quantization_config has quant_method {method!r}, version {version!r}; "
                f"this file reads {QUANT_METHOD!r}, version {FORMAT_VERSION}: use the bitmill that "
                "wrote the folder, or a newer one"
            )
        if others.get("grid"):
            raise ValueError(f"bitmill: the grid {others['grid']!r} is not known to this file")
        if "kernels" in others:  # transformers passes over what a caller's own object says
            raise ValueError(
                f"bitmill: kernels are not chosen here: set {KERNELS_VARIABLE}, or call "
                "bitmill.use_kernels(model, ...)"
            )
        self.quant_method = QUANT_METHOD
        self.version = version
        self.bitmill = others.get("bitmill", {})
        self.hashes = others.get("hashes", {})


def choose_path(model: nn.Module) -> None:
    """Who computes the products, by the environment; says so."""
    wanted = os.environ.get(KERNELS_VARIABLE, "")
    if wanted:
        try:
            from bitmill.kernels import use_kernels
        except ImportError as error:
            raise ValueError(
                f"bitmill: {KERNELS_VARIABLE}={wanted} asks for kernels, which need the Python "
                f"package bitmill, and it cannot be imported ({error}): install it (src/python of "
                f"bitmill), or unset {KERNELS_VARIABLE}"
            ) from None
        use_kernels(model, wanted)
        return
    logger.warning(
        "bitmill: %d packed linears. Their products are plain torch code, which unpacks a weight "
        "each time: little memory, slow decoding. model.dequantize() makes it an ordinary model; "
        "`bitmill generate`, and on a CPU %s, compute on the stored bits.",
        sum(isinstance(module, PackedLinear) for module in model.modules()),
        KERNELS_VARIABLE,
    )


class PackedQuantizer(HfQuantizer):
    """Loads packed folders; cannot pack, train, save, or split a model over devices by tensors."""

    requires_calibration = True  # transformers: "is only for models that are quantized already"

    # The first hooks that see config.json; one of them is called in every version. "auto_map" and
    # "transformers_weights" (which makes transformers without this file stop) have done their work.
    def _unlock(self, config: Any) -> Any:
        if getattr(config, "distributed_config", None) is not None:
            raise ValueError(NO_TENSOR_PARALLELISM)
        for key in ("transformers_weights", "auto_map"):
            if hasattr(config, key):
                delattr(config, key)
        return config

    update_tp_plan = update_ep_plan = update_attn_implementation = _unlock

    def _process_model_before_weight_loading(
        self, model: nn.Module, checkpoint_files: list[str] | None = None, **others: Any
    ) -> nn.Module:
        if not checkpoint_files:
            raise ValueError("bitmill: a packed model is loaded from its folder, not a state_dict")
        if not all(file.endswith(".safetensors") for file in checkpoint_files):
            raise ValueError(f"bitmill: packed weights are in safetensors, not {checkpoint_files}")
        if replace_linears(model, checkpoint_files) == 0:
            raise ValueError(f"bitmill: no packed weight in {', '.join(checkpoint_files)}")
        return model

    def _process_model_after_weight_loading(self, model: nn.Module, **others: Any) -> nn.Module:
        if (getattr(model, "_tp_size", None) or 1) > 1:  # older ones tell nobody before
            raise ValueError(NO_TENSOR_PARALLELISM)
        for name, module in model.named_modules():
            if isinstance(module, PackedLinear):
                for part in SCALES:
                    if getattr(module, part).dtype != torch.float16:
                        raise ValueError(f"bitmill: {name}.{part} was cast while it was loaded")
                if module.mask.device.type != "meta":  # elsewhere: offloaded
                    check_mask(name, module.parts(), module.in_features)
        choose_path(model)
        return model

    def get_weight_conversions(self) -> list[WeightRenaming]:
        # Names of buffers cannot have dots.
        return [WeightRenaming(rf"\.weight\.{part}$", f".{part}") for part in PARTS]

    def is_serializable(self, *unused: Any, **unused_too: Any) -> bool:
        logger.warning(
            "bitmill: a packed model is not saved by transformers: copy its folder. To save an "
            "ordinary one, call model.dequantize() first, or use `bitmill export`."
        )
        return False

    @property
    def is_trainable(self) -> bool:
        return False

    def _dequantize(self, model: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
        packed = [(n, m) for n, m in model.named_modules() if isinstance(m, PackedLinear)]
        if any(module.product is not None for _, module in packed):
            raise ValueError(
                "bitmill: these linears are on kernels, in whose form the weights are not kept as "
                "stored; load the model without kernels to dequantize it"
            )
        if any(tensor.device.type == "meta" for _, m in packed for tensor in m.buffers()):
            raise ValueError(
                "bitmill: offloaded linears cannot be unpacked; load without offloading"
            )
        # transformers gives the type at load where the caller named none; .to() may have changed it
        if dtype is None or dtype == getattr(model.config, "dtype", None):
            dtype = model.dtype
        for name, module in packed:
            parent, _, leaf = name.rpartition(".")
            with torch.device("meta"):
                plain = nn.Linear(module.in_features, module.out_features, bias=False)
            with torch.no_grad():
                weight = module.unpacked(dtype)
            plain.weight = nn.Parameter(weight)
            plain.bias = module.bias
            setattr(model.get_submodule(parent), leaf, plain)
        return model


class PackedForCausalLM:
    """What "auto_map" names: hands over to the model's own class, after the registration below."""

    @staticmethod
    def register_for_auto_class(auto_class: Any = None) -> None:
        """transformers calls it; there is nothing to save code of."""

    @staticmethod
    def from_pretrained(folder: str, *args: Any, config: Any, **others: Any) -> nn.Module:
        model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        return model_class.from_pretrained(folder, *args, config=config, **others)

    @staticmethod
    def _from_config(config: Any, **others: Any) -> nn.Module:
        raise ValueError("bitmill: a packed model cannot be made from config.json alone")


# The folder's copy and the package may both be imported: the first one serves.
if QUANT_METHOD not in AUTO_QUANTIZER_MAPPING:
    register_quantization_config(QUANT_METHOD)(PackedConfig)
    register_quantizer(QUANT_METHOD)(PackedQuantizer)
