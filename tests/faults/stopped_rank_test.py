#!/usr/bin/python3
"""Ranks that are stopped or asked where nobody looks: before all have met, and when they part.

    stopped_rank_test.py PROGRAM
"""

import argparse
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

import side_by_side
from killed_job import ROOT, KilledJob, Mesh, Settings

PROGRAM = None
TIMEOUT = 3  # seconds, of bitmill
PROMISED = TIMEOUT + 10
ATTEMPTS = 10  # at the moment between a job's last words and its end


def catches(pid, number):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    mask = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(mask >> (number - 1) & 1)


class StoppedRank(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bitmill-stopped-rank.")
        words = argparse.Namespace(
            program=pathlib.Path(PROGRAM), model=ROOT / "tests/data/books-2M", timeout=TIMEOUT,
            calib=ROOT / "tests/data/books/calib.txt", recipe="parallel",
            options="--samples 8 --seq-len 32 --epochs 1 --threads 1")
        self.settings = Settings(words, pathlib.Path(self.folder.name))

    def tearDown(self):
        self.folder.cleanup()

    def start(self, number, ranks):
        return KilledJob(self.settings, self.settings.folder / f"run-{number}", "epochs", Mesh(ranks))

    def stop_one(self, job):
        """Stops a rank of the job. False when there is none any more."""
        _, ranks = job.parts()
        if ranks:
            os.kill(ranks[0], signal.SIGSTOP)
            job.action, job.killed_at = "stop a rank", time.monotonic()
        return bool(ranks)

    def assert_ends(self, job, status):
        self.assertEqual(job.wait(), status, job.said())
        self.assertEqual(job.left_behind, [])
        # A busy machine takes its time for everything else.
        self.assertLess(job.seconds_to_end, PROMISED + 20)

    def test_before_all_have_met(self):
        job = self.start(0, 3)
        while not self.stop_one(job):
            self.assertIsNone(job.process.poll(), job.said())
            time.sleep(0.001)
        self.assert_ends(job, 75)
        self.assertRegex(job.said(), "the ranks have not all started|not been heard of")

    def test_asked_to_stop_before_all_have_met(self):
        job = self.start(0, 2)
        ranks = []
        while len(ranks) < 2:
            self.assertIsNone(job.process.poll(), job.said())
            _, ranks = job.parts()
        os.kill(ranks[0], signal.SIGSTOP)  # so that they cannot meet
        while not catches(ranks[1], signal.SIGTERM):
            self.assertIsNone(job.process.poll(), job.said())
            time.sleep(0.001)
        os.kill(ranks[1], signal.SIGTERM)
        os.kill(ranks[0], signal.SIGCONT)
        job.action, job.killed_at = "ask a rank", time.monotonic()
        self.assert_ends(job, 75)
        self.assertIn("SIGTERM: stopped", job.said())

    def test_when_the_work_is_done(self):
        for attempt in range(ATTEMPTS):
            job = self.start(attempt, 2)
            while job.process.poll() is None and "\nnext " not in job.said():
                time.sleep(0.001)
            stopped = job.process.poll() is None and self.stop_one(job)
            if stopped:
                self.assert_ends(job, 0)
                return
            self.assertEqual(job.wait(), 0, job.said())
        self.fail(f"no rank was seen after a job's last words in {ATTEMPTS} attempts")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    side_by_side.main(3, PROGRAM)
