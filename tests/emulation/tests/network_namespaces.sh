#!/bin/bash
# NCCL between two hosts, as two network namespaces joined by one cable: a ring of one rank each,
# both on their own first device; then the same with the cable pulled, which a deadline must find.
#
#   network_namespaces.sh RANKS_PROGRAM
#
# Exit status 77 where namespaces may not be made.
set -euo pipefail

readonly ranks=$1
readonly left=bitmill-l$$ right=bitmill-r$$
folder=$(mktemp -d)

clean_up() {
  ip netns del "$left" 2>/dev/null || true
  ip netns del "$right" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

skip() {
  echo "skipped: $*"
  exit 77
}

command -v ip >/dev/null || skip "there is no ip (Debian package iproute2)"
ip netns add "$left" 2>/dev/null || skip "network namespaces may not be made here"
ip netns add "$right"
# Names of at most 15 letters; the cable is made inside, so that the host never has it.
ip -n "$left" link add cable0 type veth peer name cable1 || skip "no veth devices here"
ip -n "$left" link set cable1 netns "$right"
ip -n "$left" addr add 10.231.0.1/24 dev cable0
ip -n "$right" addr add 10.231.0.2/24 dev cable1
ip -n "$left" link set lo up  # a host reaches its own address through it
ip -n "$right" link set lo up
ip -n "$left" link set cable0 up
ip -n "$right" link set cable1 up

# rank_in NAMESPACE RANK CASE: both have device 0, on hosts of different names.
rank_in() {
  ip netns exec "$1" env NCCL_SOCKET_IFNAME=cable NCCL_HOSTID="$1" RANKS_DEVICE=0 \
    timeout -s KILL 60 "$ranks" "$3" "$2" 2 "$folder/id"
}

# both CASE EXPECTED
both() {
  local first=0 second=0 other
  rm -f "$folder/id"
  rank_in "$right" 1 "$1" &
  other=$!
  rank_in "$left" 0 "$1" || first=$?
  wait "$other" || second=$?
  if [ "$first $second" != "$2" ]; then
    echo "$1: statuses $first and $second, expected $2"
    exit 1
  fi
}

both ring "0 0"
# The same with pauses between the rounds is right, too; not when the cable is pulled meanwhile.
export RANKS_PAUSE_MS=700
both ring "0 0"
(sleep 1 && ip -n "$right" link set cable1 down) &
both ring "4 4"
wait
echo "a ring between two namespaces; with the cable pulled, both deadlines passed"
