#!/usr/bin/python3
"""A long cable, for hosts.py: far_cable.py PORT FAR_PORT SECONDS LOSS LOG

Frames that enter at one end leave at the other after so many seconds; the share LOSS is lost. It is
what the kernel's netem does, where a kernel has it. Both ends are TAP devices, which are gone with
this process. LOG gets a line for each frame that is lost.
"""

import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME = 65536  # bytes, more than any has


def tap(name):
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def leave(waiting, now):
    """Writes the frames that have been under way long enough. An end that is down takes none."""
    while waiting and waiting[0][0] <= now:
        _, end, frame = waiting.popleft()
        try:
            os.write(end, frame)
        except OSError:
            pass


def carry(ends, delay, loss, log):
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    draw = random.Random(1)
    waiting = collections.deque()  # (when it leaves, by which end, frame), in order
    while True:
        patience = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], patience)[0]:
            try:
                frame = os.read(end, FRAME)
            except OSError:
                time.sleep(0.001)  # this end is down
                continue
            if draw.random() < loss:
                log.write("lost\n")
            else:
                waiting.append((time.monotonic() + delay, other[end], frame))
        leave(waiting, time.monotonic())


def main():
    ends = [tap(name) for name in sys.argv[1:3]]
    with open(sys.argv[5], "w", buffering=1) as log:
        carry(ends, float(sys.argv[3]), float(sys.argv[4]), log)


main()
