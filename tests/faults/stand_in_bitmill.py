#!/usr/bin/python3
"""Stands in for bitmill where only its manners under a launcher matter: no MPI, no work.

    bitmill work FOLDER [EXIT]   rank 0 leaves the note; then 60 s of "work", or EXIT at once.
                                 The first signal: a "commit" of 0.3 s, then 75. One that comes a
                                 second later or more: leave at once, with 70.
                                 Where FOLDER/brief exists: 75 after 4 s.
    bitmill deaf FOLDER          as work, but signals are ignored
    bitmill status ... FOLDER    exits with the number in FOLDER/verdict; 75 without one
"""

import os
import signal
import sys
import time

first_signal = None


def on_signal(number, frame):
    global first_signal
    if first_signal is None:
        first_signal = time.monotonic()
    elif time.monotonic() - first_signal >= 1:
        os._exit(70)


def leave_note(folder):
    with open(os.environ["BITMILL_RUN_NOTE"], "w") as note:
        note.write(f"{os.path.abspath(folder)}\n{os.path.abspath(sys.argv[0])}\n")


def work(folder):
    if os.path.exists(f"{folder}/brief"):
        time.sleep(4)  # long enough to be seen
        sys.exit(75)
    while first_signal is None:
        time.sleep(0.02)
    with open(f"{folder}/committed.{os.environ['OMPI_COMM_WORLD_RANK']}", "w"):
        pass
    hold = 60 if os.path.exists(f"{folder}/slow") else 0.3
    end = time.monotonic() + hold
    while time.monotonic() < end:
        time.sleep(0.02)
    sys.exit(75)


def main():
    command, folder = sys.argv[1], sys.argv[2]
    if command == "status":
        # status --work-dir FOLDER --exit-status
        if not os.path.exists(f"{sys.argv[3]}/verdict"):
            sys.exit(75)
        with open(f"{sys.argv[3]}/verdict") as verdict:
            sys.exit(int(verdict.read()))
    action = signal.SIG_IGN if command == "deaf" else on_signal
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, action)
    rank = os.environ["OMPI_COMM_WORLD_RANK"]
    if rank == "0" and not os.path.exists(f"{folder}/no-note"):
        leave_note(folder)
    if len(sys.argv) > 3:
        sys.exit(int(sys.argv[3]))
    with open(f"{folder}/rank.{rank}.new", "w") as ready:
        ready.write(str(os.getpid()))
    os.rename(f"{folder}/rank.{rank}.new", f"{folder}/rank.{rank}")
    if command == "deaf":
        time.sleep(60)
    work(folder)


main()
