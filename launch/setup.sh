#!/usr/bin/env bash
# Installs what bitmill is built from: Debian packages, and libtorch from the torch wheel.
#
#   launch/setup.sh                    install what is missing; a second run changes nothing
#   launch/setup.sh --with-slurm       the same, and a Slurm to test under (its daemons stay off)
#   launch/setup.sh --with-hosts       the same, and what makes several hosts on one machine for tests:
#                                      GlusterFS, sshd, and what --with-slurm installs (all stay off)
#   launch/setup.sh --with-clang       the same, and the compiler of the fuzzers
#   launch/setup.sh --with-tidy        the same, and clang-tidy
#   launch/setup.sh --with-emulation   the same, and what the preset `emulated` needs: CUDA without a
#                                      GPU
#   launch/setup.sh --with-transformers  the same, and a Python with transformers, for tests/python
#   launch/setup.sh --with-cuda        the same, and nvcc 13 with the libraries that the preset `cuda`
#                                      needs, 1.1 GB, and libtorch for GPUs, some
#                                      gigabytes; an nvcc 13 in the PATH is taken instead.
#                                      The seven may be given together
#   launch/setup.sh --print-libtorch   print the <site-packages>/torch in use (FindLibTorch.cmake)
#   launch/setup.sh --print-python     print the Python with transformers (tests/python)
#   launch/setup.sh --print-nvcc       print the nvcc in use, nothing where there is none (steps.sh)
#   launch/setup.sh --print-headers    print the folder of CUDA's headers (BitmillEmulation.cmake)
#
# libtorch and that Python go to $BITMILL_DEPS (default: ${XDG_CACHE_HOME:-~/.cache}/bitmill); nothing
# is put into the system's or the user's Python. Several set-ups may run at once.
set -euo pipefail

readonly torch_version=2.11.0
readonly deps=${BITMILL_DEPS:-${XDG_CACHE_HOME:-$HOME/.cache}/bitmill}

# ca-certificates: pip has no other source of them in a bare container.
debian_packages=(
  ca-certificates g++ cmake ninja-build ccache pkg-config openmpi-bin libopenmpi-dev
  nlohmann-json3-dev libfmt-dev libboost-program-options-dev libxxhash-dev libpcre2-dev
  libutf8proc-dev libsentencepiece-dev libcpp-httplib-dev zlib1g-dev libzstd-dev
  libgtest-dev libgmock-dev python3 python3-venv)
# libpmix-dev: without its link libpmix.so, Slurm cannot load its pmix plugin.
readonly fault_packages=(slurmctld slurmd slurm-client munge libpmix-dev faketime)
readonly host_packages=(glusterfs-server glusterfs-client openssh-server iproute2)
# libFuzzer and the sanitizers are in the second.
readonly clang_packages=(clang-16 libclang-rt-16-dev)
readonly tidy_packages=(clang-tidy)

# The libraries libtorch is linked to, and the wheel to take one from where the machine lacks it.
# Versions are those torch 2.11.0 asks for. libtorch_cpu.so needs the first two even on a CPU.
readonly cpu_libraries=(
  libcudart.so.13=nvidia-cuda-runtime==13.0.96
  libcupti.so.13=nvidia-cuda-cupti==13.0.85)
readonly cuda_libraries=(
  libcublas.so.13=nvidia-cublas==13.1.0.3
  libcudnn.so.9=nvidia-cudnn-cu13==9.19.0.56
  libcufft.so.12=nvidia-cufft==12.0.0.61
  libcufile.so.0=nvidia-cufile==1.15.1.6
  libcurand.so.10=nvidia-curand==10.4.0.35
  libcusolver.so.12=nvidia-cusolver==12.0.4.66
  libcusparse.so.12=nvidia-cusparse==12.6.3.3
  libcusparseLt.so.0=nvidia-cusparselt-cu13==0.8.0
  libnccl.so.2=nvidia-nccl-cu13==2.28.9
  libnvJitLink.so.13=nvidia-nvjitlink==13.0.88
  libnvshmem_host.so.3=nvidia-nvshmem-cu13==3.4.5)

# Where the machine has no toolkit with all of these headers, they come from their wheels; the
# libraries in those are not kept. Versions as above.
readonly cuda_headers=(cuda_runtime_api.h crt/host_defines.h nv/target cublasLt.h nccl.h)
readonly header_wheels=(
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85
  nvidia-cublas==13.1.0.3 nvidia-nccl-cu13==2.28.9)

# A toolkit to compile with, for machines that have none. Versions as above.
readonly toolkit=$deps/cuda-13.0
readonly toolkit_wheels=(
  nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-cublas==13.1.0.3
  nvidia-nccl-cu13==2.28.9)

# What transformers needs beside torch, which it shares with the build.
readonly transformers_version=5.24.0
readonly python_wheels=("transformers==$transformers_version" numpy safetensors jinja2 sympy networkx
  fsspec filelock)

say() { printf '[set-up %3ds] %s\n' "$SECONDS" "$*" >&2; }
die() {
  printf 'launch/setup.sh: %s\n' "$*" >&2
  exit 1
}

# An nvcc of CUDA 13: in the PATH, or the one of --with-cuda. Prints nothing where there is none.
find_nvcc() {
  if command -v nvcc >/dev/null && nvcc --version | grep -q 'release 13\.'; then
    command -v nvcc
  elif [ -e "$toolkit/complete" ]; then
    echo "$toolkit/bin/nvcc"
  fi
}

# $1: whether a toolkit is going to be installed.
# A toolkit of another major version has libraries of other names: it cannot feed this libtorch.
variant() {
  if [ -n "$(find_nvcc)" ] || [ "${1:-no}" = yes ]; then
    echo cuda
  else
    echo cpu
  fi
}

on_machine() {
  [ -e "/usr/local/cuda/lib64/$1" ] || /sbin/ldconfig -p | grep -F "$1 (" >/dev/null
}

# One requirement a line: the torch wheel, and wheels of the libraries that are not on the machine.
wanted_wheels() {
  echo "torch==$torch_version"
  local pair libraries=("${cpu_libraries[@]}")
  if [ "$1" = cuda ]; then libraries+=("${cuda_libraries[@]}"); fi
  for pair in "${libraries[@]}"; do
    # A CPU environment stands alone: it outlives a toolkit that is upgraded or removed.
    if [ "$1" = cpu ] || ! on_machine "${pair%%=*}"; then echo "${pair#*=}"; fi
  done
}

install_debian_packages() {
  command -v dpkg-query >/dev/null ||
    die "needs Debian 12 or a relative of it; elsewhere install the likes of: ${debian_packages[*]}"
  local package missing=() as_root=(env)
  for package in "${debian_packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "Debian packages: all ${#debian_packages[@]} there"
    return
  fi
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      die "not root and no sudo; have this run: apt-get install -y ${missing[*]}"
    as_root=(sudo env)
  fi
  say "Debian packages: installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" >&2
}

# What only Python or a GPU uses is a gigabyte; a CPU build links torch_cpu and c10. c10_cuda stays:
# it is small, and the emulation runs it.
remove_gpu_parts() {
  local torch=$1/torch
  rm -rf "$torch"/lib/lib{torch_cuda,torch_cuda_linalg,torch_nvshmem,torch_python,caffe2_nvrtc}.so
  find "$torch" -mindepth 1 -maxdepth 1 ! -name include ! -name lib ! -name version.py \
    -exec rm -rf {} +
  rm -rf "$1"/{torchgen,functorch}
}

# pip_install FOLDER WHEELS...: with the distribution's Python, not whichever a version manager put
# first in PATH; -I: no PYTHONPATH.
pip_install() {
  local folder=$1
  shift
  mkdir -p "$folder/tmp"
  /usr/bin/python3 -I -m venv "$folder/pip"
  TMPDIR=$folder/tmp "$folder/pip/bin/python" -I -m pip install --quiet --no-deps --no-compile \
    --disable-pip-version-check --target "$folder/site-packages" "$@" >&2
  rm -rf "$folder/pip" "$folder/tmp"
}

# $1 variant, $2 folder to make. The stamp is written last and the folder renamed into place, so
# that whatever has the final name is complete.
install_libtorch() {
  local kind=$1 target=$2 wheels fresh=$2.new
  mapfile -t wheels < <(wanted_wheels "$kind")
  # An older set-up removed c10_cuda.
  if [ "$with_emulation" = yes ] && [ ! -e "$target/site-packages/torch/lib/libc10_cuda.so" ]; then
    rm -f "$target/complete"
  fi
  if [ -e "$target/complete" ]; then
    say "libtorch $torch_version ($kind): there, $target"
    return
  fi
  say "libtorch $torch_version ($kind): installing ${#wheels[@]} wheels into $target"
  rm -rf "$target" "$fresh"
  pip_install "$fresh" "${wheels[@]}"
  if [ "$kind" = cpu ]; then remove_gpu_parts "$fresh/site-packages"; fi
  printf '%s\n' "${wheels[@]}" >"$fresh/complete"
  mv "$fresh" "$target"
  say "libtorch $torch_version ($kind): $(du -sh "$target" | cut -f1)"
}

# The toolkit's folder when it has them all, else that of set-up.
header_folder() {
  local header
  for header in "${cuda_headers[@]}"; do
    if [ ! -e "/usr/local/cuda/include/$header" ]; then
      echo "$deps/cuda-headers-13.0/include"
      return
    fi
  done
  echo /usr/local/cuda/include
}

# The torch of libtorch has its Python part only beside a toolkit: without one, all of torch's wheels
# for a GPU would be needed, some gigabytes.
install_transformers() {
  local kind=$1 torch_site=$2/site-packages target=$3
  if [ "$kind" = cpu ]; then
    say "transformers: not installed: there is no CUDA 13 toolkit, and torch for Python needs its" \
      "libraries; name a Python that has torch and transformers in BITMILL_FIELD_PYTHON"
    return
  fi
  if [ -e "$target/complete" ]; then
    say "transformers $transformers_version: there, $target"
    return
  fi
  say "transformers $transformers_version: installing into $target"
  rm -rf "$target"
  /usr/bin/python3 -I -m venv "$target"  # a venv cannot be renamed: the stamp alone says complete
  "$target/bin/python" -I -m pip install --quiet --disable-pip-version-check "${python_wheels[@]}" >&2
  echo "$torch_site" >"$(echo "$target"/lib/python3.*/site-packages)/torch.pth"
  "$target/bin/python" -I -c 'import torch, transformers'
  printf '%s\n' "${python_wheels[@]}" >"$target/complete"
}

# One folder as a toolkit has it, and the names without a version that linkers look for.
install_toolkit() {
  if [ -n "$(find_nvcc)" ]; then
    say "nvcc 13: there, $(find_nvcc)"
    return
  fi
  say "CUDA 13.0: installing ${#toolkit_wheels[@]} wheels into $toolkit"
  local fresh=$toolkit.new library
  rm -rf "$toolkit" "$fresh"
  mkdir -p "$fresh"
  pip_install "$fresh/wheels" "${toolkit_wheels[@]}"
  mv "$fresh"/wheels/site-packages/nvidia/cu13/* "$fresh"
  cp -r "$fresh/wheels/site-packages/nvidia/nccl/include/." "$fresh/include"
  mv "$fresh"/wheels/site-packages/nvidia/nccl/lib/libnccl.so.2 "$fresh/lib"
  rm -rf "$fresh/wheels"
  ln -s lib "$fresh/lib64"
  for library in "$fresh"/lib/*.so.*; do ln -s "${library##*/}" "${library%.so.*}.so"; done
  printf '%s\n' "${toolkit_wheels[@]}" >"$fresh/complete"
  mv "$fresh" "$toolkit"
}

# As install_libtorch: whatever has the final name is complete.
install_headers() {
  local include target fresh folder
  include=$(header_folder)
  if [ -e "$include/nccl.h" ]; then
    say "CUDA's headers: there, $include"
    return
  fi
  target=$(dirname "$include") fresh=$target.new
  say "CUDA's headers: installing ${#header_wheels[@]} wheels into $target"
  rm -rf "$target" "$fresh"
  mkdir -p "$fresh/include"
  pip_install "$fresh" "${header_wheels[@]}"
  for folder in "$fresh"/site-packages/nvidia/*/include; do cp -r "$folder/." "$fresh/include"; done
  rm -rf "$fresh/site-packages"
  mv "$fresh" "$target"
}

main() {
  local kind target python with_emulation=no with_transformers=no with_cuda=no
  case " $* " in *" --with-cuda "*) with_cuda=yes ;; esac
  kind=$(variant $with_cuda)
  target=$deps/torch-$torch_version-$kind
  python=$deps/transformers-$transformers_version-torch-$torch_version
  local option
  for option in "$@"; do
    case "$option" in
      --print-libtorch)
        [ -e "$target/complete" ] || die "no complete $target; run launch/setup.sh"
        echo "$target/site-packages/torch"
        return
        ;;
      --print-python)
        [ -e "$python/complete" ] || die "no complete $python; run launch/setup.sh --with-transformers"
        echo "$python/bin/python"
        return
        ;;
      --print-nvcc)
        find_nvcc
        return
        ;;
      --print-headers)
        target=$(header_folder)
        [ -e "$target/nccl.h" ] || die "no $target; run launch/setup.sh --with-emulation"
        echo "$target"
        return
        ;;
      --with-transformers) with_transformers=yes ;;
      --with-cuda) ;;  # looked for above
      --with-emulation) with_emulation=yes debian_packages+=(iproute2) ;;
      --with-slurm) debian_packages+=("${fault_packages[@]}") ;;
      --with-hosts) debian_packages+=("${fault_packages[@]}" "${host_packages[@]}") ;;
      --with-clang) debian_packages+=("${clang_packages[@]}") ;;
      --with-tidy) debian_packages+=("${tidy_packages[@]}") ;;
      *) die "unknown option $option (there are --with-slurm, --with-hosts, --with-clang, --with-tidy," \
        "--with-emulation, --with-transformers, --with-cuda, --print-libtorch, --print-python," \
        "--print-nvcc and --print-headers)" ;;
    esac
  done
  mkdir -p "$deps"
  exec 9>"$deps/lock"
  flock 9  # released when this process ends, however it ends
  install_debian_packages
  if [ "$with_cuda" = yes ]; then install_toolkit; fi
  install_libtorch "$kind" "$target"
  if [ "$with_emulation" = yes ]; then install_headers; fi
  if [ "$with_transformers" = yes ]; then install_transformers "$kind" "$target" "$python"; fi
}

main "$@"
