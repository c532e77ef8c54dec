"""bitmill's packed models in Python.

`import bitmill` registers the quantizer with which transformers loads packed folders. vLLM finds
its plugin (bitmill.vllm_plugin) by itself where this package is installed.
"""

from bitmill._version import __version__
from bitmill.kernels import use_kernels
from bitmill.modeling_bitmill import PackedConfig, PackedLinear, PackedQuantizer, unpack_weight

__all__ = [
    "PackedConfig",
    "PackedLinear",
    "PackedQuantizer",
    "__version__",
    "unpack_weight",
    "use_kernels",
]
