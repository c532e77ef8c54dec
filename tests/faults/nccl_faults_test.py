#!/usr/bin/python3
"""A rank that dies, stands still or is stopped while tensors travel from GPU to GPU.

    nccl_faults_test.py PROGRAM [--all] [--seed N]

PROGRAM is the emulated one. Each fault happens to one rank of a real job. It must end with 75 in
time, name what is wrong, and leave no process behind; the same words on another mesh then end with
the bytes of a run that nobody touched. Without --all, some faults are drawn by the seed, which is
printed.
"""

import argparse
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

from killed_job import ROOT, KilledJob, Mesh, Settings, hash_of_tensors

TIMEOUT = 4  # seconds, of bitmill
PROMISED = TIMEOUT + 10
BUSY = 20  # more, for everything else on a busy machine
DRAWN = 5
# Exports the fault on one rank, and becomes the program.
ON_ONE_RANK = 'if [ "$OMPI_COMM_WORLD_RANK" = "$VICTIM" ]; then export $FAULT; fi; exec "$@"'
# What a line of the report must name: a rank with its host, the block, what was done there, and the GPU.
NAMED = re.compile(rf"rank \d+ on {re.escape(os.uname().nodename)}.* block \d+, "
                   r"(receive|load|teach|train|pack|forward|send|drop)\b.*, on .* \(cuda:\d+\)")
MESHES = [Mesh(1, 1), Mesh(2, 2), Mesh(2, 1), Mesh(4, 2)]

# name, mesh, the rank it happens to, its environment or a signal. A rank's number is that of the
# communicator there: in a pair 0 sends and 1 receives, among replicas it is the replica's.
DIE, STALL, SILENT = (f"BITMILL_EMULATION_NCCL_{word}" for word in ("DIE", "STALL", "SILENT"))
FAULTS = [
    ("a sender dies while it connects", Mesh(2, 2), 0, f"{DIE}=0:init"),
    ("a receiver dies while it connects", Mesh(2, 2), 1, f"{DIE}=1:init"),
    ("a sender stands still while it connects", Mesh(2, 2), 0, f"{STALL}=0:init"),
    ("a receiver stands still while it connects", Mesh(4, 2), 3, f"{STALL}=1:init"),
    ("a replica stands still while it connects", Mesh(2, 1), 1, f"{STALL}=1:init"),
    ("a sender dies", Mesh(2, 2), 0, f"{DIE}=0:3"),
    ("a receiver dies", Mesh(4, 2), 2, f"{DIE}=1:2"),
    ("a receiver dies, and nobody is told", Mesh(2, 2), 1, f"{DIE}=1:4 {SILENT}=1"),
    ("a sender stands still", Mesh(2, 2), 0, f"{STALL}=0:5"),
    ("a receiver stands still", Mesh(4, 2), 3, f"{STALL}=1:2"),
    ("a replica dies in an exchange", Mesh(2, 1), 1, f"{DIE}=1:3"),
    ("a replica dies in a gather", Mesh(2, 1), 0, f"{DIE}=0:4"),
    ("a replica stands still in an exchange", Mesh(4, 2), 1, f"{STALL}=1:5"),
    ("a replica stands still in a gather", Mesh(2, 1), 1, f"{STALL}=1:6"),
    ("a rank is stopped", Mesh(2, 2), 1, signal.SIGSTOP),
    ("a replica is killed", Mesh(2, 1), 0, signal.SIGKILL),
]


class FaultSettings(Settings):
    """Starts whose ranks may carry a fault of their own."""

    def __init__(self, words, folder):
        super().__init__(words, folder)
        self.command = ["sh", "-c", ON_ONE_RANK, "sh", *self.command]

    def carry(self, victim, fault):
        os.environ["VICTIM"], os.environ["FAULT"] = str(victim), fault


def check(condition, job, text):
    if not condition:
        sys.exit(f"{text}; it said:\n{job.said()}")


def rank_of(pid):
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((int(word.split(b"=")[1]) for word in environment
                 if word.startswith(b"OMPI_COMM_WORLD_RANK=")), None)


def signal_rank(job, victim, number):
    job.wait_for_an_epoch()
    _, ranks = job.parts()
    for pid in ranks:
        if rank_of(pid) == victim:
            os.kill(pid, number)


def carry_out(settings, number, fault, expected, draw):
    name, mesh, victim, what = fault
    output = settings.folder / f"run-{number}"
    settings.carry(victim, what if isinstance(what, str) else "HARMLESS=1")
    job = KilledJob(settings, output, "1", mesh)
    if not isinstance(what, str):
        signal_rank(job, victim, what)
    job.action, job.killed_at = name, time.monotonic()
    # From the start on, where the fault comes by itself.
    status = job.wait()
    check(status == 75, job, f"{name}: exit status {status}")
    check(not job.left_behind, job, f"{name}: processes {job.left_behind} were left behind")
    check(any(NAMED.search(line) for line in job.said().splitlines()), job,
          f"{name}: no line names rank, host, block, phase and device")
    seconds = job.seconds_to_end
    check(seconds < PROMISED + BUSY, job, f"{name}: over only after {seconds:.1f} s")
    settings.carry(0, "HARMLESS=1")
    again_on = draw.choice(MESHES)
    again = KilledJob(settings, output, "1", again_on)
    check(again.wait() == 0, again, f"{name}: the next start ended with {again.status}")
    check(hash_of_tensors(output) == expected, again, f"{name}: other bytes on {again_on}")
    print(f"{name}, {mesh}: over after {seconds:.1f} s; gone on with on {again_on}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    draw = random.Random(given.seed)
    os.environ["BITMILL_EMULATION_DEVICES"] = "4"
    with tempfile.TemporaryDirectory(prefix="bitmill-nccl-faults.") as folder:
        words = argparse.Namespace(
            program=given.program, model=ROOT / "tests/data/books-2M", timeout=TIMEOUT,
            calib=ROOT / "tests/data/books/calib.txt", recipe="parallel",
            options="--samples 8 --seq-len 16 --epochs 2 --batch 4 --threads 1 --max-blocks 2 "
                    "--backend cuda --dtype float32")
        settings = FaultSettings(words, pathlib.Path(folder))
        settings.carry(0, "HARMLESS=1")
        quiet = KilledJob(settings, settings.folder / "quiet", "1", Mesh(1, 1))
        check(quiet.wait() == 0, quiet, "the run that nobody touches failed")
        expected = hash_of_tensors(settings.folder / "quiet")
        chosen = FAULTS if given.all else draw.sample(FAULTS, DRAWN)
        for number, fault in enumerate(chosen):
            carry_out(settings, number, fault, expected, draw)


if __name__ == "__main__":
    main()
