"""vLLM's plugin: loads folders that bitmill packed. Entry point group "vllm.general_plugins".

Weights are unpacked once, when they are loaded, to the type that vLLM computes in. A fused linear
(q, k, v; gate and up) is unpacked shard by shard, since each shard has a mask of its own, and put
together. Written for vLLM 0.32.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from vllm.distributed import get_tensor_model_parallel_world_size
from vllm.logger import init_logger
from vllm.model_executor.layers.linear import (
    LinearBase,
    LinearMethodBase,
    UnquantizedLinearMethod,
)
from vllm.model_executor.layers.quantization import register_quantization_config
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig
from vllm.model_executor.models.utils import WeightsMapper
from vllm.transformers_utils.config import get_safetensors_params_metadata

from bitmill.modeling_bitmill import (
    KERNELS_VARIABLE,
    PARTS,
    QUANT_METHOD,
    WORDS,
    PackedConfig,
    check_mask,
    check_parts,
    unpack_weight,
)

logger = init_logger("vllm.bitmill")


def name_in_block(name: str) -> str:
    """ "layers.0.mlp.up_proj" of any longer name: vLLM and checkpoints have other prefixes."""
    _, marker, rest = ("." + name).rpartition(".layers.")
    return marker[1:] + rest


class PackedVllmConfig(QuantizationConfig):
    """quantization_config of a packed folder, and the names of its packed linears."""

    def __init__(self) -> None:
        super().__init__()
        self.packed: set[str] = set()  # as name_in_block() gives them

    def get_name(self) -> str:
        return QUANT_METHOD

    def get_supported_act_dtypes(self) -> list[torch.dtype]:
        return [torch.float32, torch.bfloat16, torch.float16]

    @classmethod
    def get_min_capability(cls) -> int:
        return 70  # vLLM's own limit: unpacked weights need nothing special

    @staticmethod
    def get_config_filenames() -> list[str]:
        return []

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PackedVllmConfig:
        PackedConfig(**config)  # refuses other methods and versions
        if os.environ.get(KERNELS_VARIABLE):
            raise ValueError(
                f"bitmill: {KERNELS_VARIABLE} asks for kernels, and vLLM multiplies unpacked "
                f"weights: unset {KERNELS_VARIABLE}"
            )
        return cls()

    @staticmethod
    def get_checkpoint_weight_mapper() -> WeightsMapper:
        return WeightsMapper(orig_to_new_suffix={f".weight.{part}": f".{part}" for part in PARTS})

    def maybe_update_config(
        self, model_name: str, hf_config: Any = None, revision: str | None = None
    ) -> None:
        for key in get_safetensors_params_metadata(model_name, revision=revision):
            name, _, part = key.rpartition(".weight.")
            if part == "signs":
                self.packed.add(name_in_block(name))
        if not self.packed:
            raise ValueError(f"bitmill: {model_name} has no packed weight")
        logger.info(
            "bitmill: %d packed linears. They are unpacked while they are loaded, and multiplied "
            "as ordinary weights: vLLM takes the memory and the time of the 16-bit model.",
            len(self.packed),
        )

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> LinearMethodBase | None:
        if not isinstance(layer, LinearBase):
            return None
        before, _, fused = name_in_block(prefix).rpartition(".")
        shards = self.packed_modules_mapping.get(fused, [fused])
        are_packed = [f"{before}.{shard}" in self.packed for shard in shards]
        if not any(are_packed):
            return UnquantizedLinearMethod()
        if not all(are_packed):
            raise ValueError(
                f"bitmill: of {prefix}, vLLM fuses {', '.join(shards)}, and only some of them are "
                "packed; pack all or none of them, or use the folder that `bitmill export` writes"
            )
        if get_tensor_model_parallel_world_size() > 1:
            raise ValueError(
                "bitmill: packed linears cannot be cut for tensor parallelism; use "
                "--tensor-parallel-size 1, or the folder that `bitmill export` writes"
            )
        return PackedLinearMethod(prefix, len(shards))


class PackedLinearMethod(LinearMethodBase):
    """Collects the parts of a linear's shards, then makes one weight of them."""

    def __init__(self, name: str, shards: int) -> None:
        self.name = name
        self.shards = shards
        self.loaded: dict[Any, dict[str, torch.Tensor]] = {}  # shard -> part -> tensor

    def create_weights(
        self,
        layer: torch.nn.Module,
        input_size_per_partition: int,
        output_partition_sizes: list[int],
        input_size: int,
        output_size: int,
        params_dtype: torch.dtype,
        **others: Any,
    ) -> None:
        self.cols, self.rows, self.dtype = input_size, output_partition_sizes, params_dtype
        for part in PARTS:
            # Shapes differ between shards: the parameter only gives vLLM a name to load.
            dtype = torch.int32 if part in WORDS else torch.float16
            placeholder = torch.nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
            placeholder.weight_loader = self.loader_of(part)
            layer.register_parameter(part, placeholder)

    def loader_of(self, part: str) -> Any:
        def load(placeholder: torch.nn.Parameter, loaded: torch.Tensor, shard: Any = 0) -> None:
            self.loaded.setdefault(shard, {})[part] = loaded.clone()

        return load

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        if not self.loaded:
            return  # done already
        order = ["q", "k", "v"] if "q" in self.loaded else sorted(self.loaded)
        if len(order) != self.shards or set(order) != set(self.loaded):
            raise ValueError(f"bitmill: {self.name}: of {self.shards} shards, {order} were loaded")
        device = next(layer.parameters()).device
        weights = []
        for shard, rows in zip(order, self.rows, strict=True):
            parts = self.loaded.pop(shard)
            found, _ = check_parts(self.name, {part: tuple(t.shape) for part, t in parts.items()})
            if found != rows:
                raise ValueError(f"bitmill: {self.name}, shard {shard}: {found} rows, not {rows}")
            check_mask(self.name, parts, self.cols)
            weights.append(unpack_weight(parts, self.dtype).to(device))
        for part in PARTS:
            delattr(layer, part)
        weight = torch.nn.Parameter(torch.cat(weights), requires_grad=False)
        layer.register_parameter("weight", weight)

    def apply(
        self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        return torch.nn.functional.linear(x, layer.weight, bias)


def register() -> None:
    """vLLM calls it in each of its processes."""
    register_quantization_config(QUANT_METHOD)(PackedVllmConfig)
