# Sourced by gpu-check.sh, after steps.sh and with a function die: what a machine with a GPU lacks, as
# Debian packages. They are collected and packed beforehand, and unpacked there.
# shellcheck shell=bash

readonly unpacked=$root/build/gpu-packages
readonly most_bundle_bytes=60000000

# What the build includes and what its programs load, beyond what the machine has.
readonly needed=(
  nlohmann-json3-dev libfmt-dev libfmt9 libboost1.74-dev libboost-dev
  libboost-program-options1.74-dev libboost-program-options1.74.0 libboost-program-options-dev
  libxxhash-dev libxxhash0 libpcre2-dev libpcre2-8-0 libpcre2-posix3 libpcre2-16-0 libpcre2-32-0
  libcpp-httplib-dev libcpp-httplib0.11 libbrotli-dev libbrotli1 libssl-dev libssl3 zlib1g-dev
  libzstd-dev libzstd1
  libutf8proc-dev libutf8proc2 libsentencepiece-dev libsentencepiece0 libprotobuf-lite32
  libgtest-dev libgmock-dev googletest
  pkgconf pkgconf-bin libpkgconf3
  openmpi-bin openmpi-common libopenmpi-dev libopenmpi3 libpmix2 libhwloc15 libevent-core-2.1-7
  libevent-pthreads-2.1-7 libmunge2 libucx0 libfabric1 libpsm-infinipath1 libpsm2-2 libibverbs1
  librdmacm1 libnl-3-200 libnl-route-3-200 libudev1 libnuma1 libuuid1 zlib1g)

# collect DIR: downloads them; DIR is whole or is not there.
collect() {
  rm -rf "$1.new"
  mkdir -p "$1.new"
  (cd "$1.new" && apt-get download -q "${needed[@]}") || die "apt-get could not download all packages"
  rm -rf "$1"
  mv "$1.new" "$1"
  say "$(find "$1" -name '*.deb' | wc -l) packages, $(du -sh "$1" | cut -f1), in $1"
}

# pack FILE PACKAGES [MODEL]: what is committed, the packages, and a model, as a tree named bitmill.
pack() {
  local tree bytes name packages=$2 model=${3:-}
  git -C "$root" rev-parse HEAD >/dev/null || die "--pack packs what is committed: it needs a git checkout"
  tree=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$tree'" EXIT
  [ -d "$packages" ] || collect "$packages"
  for name in "${needed[@]}"; do
    compgen -G "$packages/${name}_*.deb" >/dev/null || die "$packages has no $name: --collect again"
  done
  if [ -n "$(git -C "$root" status --porcelain)" ]; then say "only what is committed is packed"; fi
  mkdir -p "$tree/bitmill/build/gpu-debs"
  git -C "$root" archive HEAD | tar -x -C "$tree/bitmill"
  git -C "$root" rev-parse --short HEAD >"$tree/bitmill/build/commit"
  cp "$packages"/*.deb "$tree/bitmill/build/gpu-debs"
  if [ -n "$model" ]; then cp -rL "$model" "$tree/bitmill/build/check-model"; fi
  tar -czf "$1" -C "$tree" bitmill
  bytes=$(stat -c %s "$1")
  if [ "$bytes" -gt $most_bundle_bytes ]; then
    du -sh "$tree"/bitmill/build/* >&2
    rm -f "$1"
    die "the bundle would have $bytes bytes, more than $most_bundle_bytes; without --model a model is made there"
  fi
  say "$1: $bytes bytes, of $most_bundle_bytes that are allowed"
}

# use_packages DIR: unpacks them, and has everything after it find what is in them.
use_packages() {
  [ -d "$1" ] || die "no folder $1; make it on Debian 12 with launch/gpu-check.sh --collect"
  local package
  rm -rf "$unpacked"
  mkdir -p "$unpacked"
  for package in "$1"/*.deb; do dpkg-deb -x "$package" "$unpacked"; done
  local lib=$unpacked/usr/lib/x86_64-linux-gnu
  export PATH=$unpacked/usr/bin:$PATH
  export OPAL_PREFIX=$unpacked/usr OMPI_ALLOW_RUN_AS_ROOT=1
  export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  local libraries=$lib:$lib/openmpi/lib:$lib/pmix2/lib:$unpacked/lib/x86_64-linux-gnu
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LIBRARY_PATH=$lib:$lib/openmpi/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
  export CPATH=$unpacked/usr/include:$unpacked/usr/include/x86_64-linux-gnu${CPATH:+:$CPATH}
  export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$unpacked
  export CMAKE_PREFIX_PATH=$unpacked/usr
}
