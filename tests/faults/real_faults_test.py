#!/usr/bin/python3
"""Disks that fill up, folders that vanish, clocks that step back: real_faults_test.py PROGRAM.

Each happens to a real job in its middle. What it says is looked at, and the same words started
again, with the cause gone, end with the bytes of a run that nobody touched.
"""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import side_by_side
from killed_job import ROOT, hash_of_tensors, logged_epochs

PROGRAM = None
EPOCHS = 12
WORDS = ["quantize", "--model", str(ROOT / "tests/data/books-2M"),
         "--calib", str(ROOT / "tests/data/books/calib.txt"), "--recipe", "parallel",
         "--samples", "16", "--seq-len", "64", "--epochs", str(EPOCHS), "--threads", "1"]
PATIENCE = 120  # seconds; a busy machine needs some of them


def may_mount():
    """In the mount namespace of its own in which main() starts this."""
    return os.environ.get("BITMILL_OWN_MOUNTS") == "yes"


class Job:
    def __init__(self, folder, *options, **environment):
        self.output = folder / "result"
        self.work_dir = folder / "result.work"
        words = [PROGRAM, *WORDS, "--output-dir", str(self.output), *options]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **environment})

    def wait_for_epochs(self, count):
        deadline = time.monotonic() + PATIENCE
        while len(logged_epochs(self.work_dir)) < count:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"{count} epochs were not reached: {self.process.stderr.read()}")
            time.sleep(0.005)

    def end(self):
        """(exit status, what was said)"""
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


def hash_of_undisturbed():
    with tempfile.TemporaryDirectory(prefix="bitmill-faults.") as name:
        job = Job(pathlib.Path(name))
        status, said = job.end()
        if status != 0:
            raise AssertionError(said)
        return hash_of_tensors(job.output)


class RealFaults(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bitmill-faults."))
        self.mounted = None

    def tearDown(self):
        if self.mounted:
            subprocess.run(["umount", "-l", self.mounted], check=True)
        shutil.rmtree(self.folder)

    @staticmethod
    def undisturbed():
        return os.environ.get("BITMILL_UNDISTURBED") or hash_of_undisturbed()

    def assert_finishes(self, *options):
        job = Job(self.folder, *options)
        status, said = job.end()
        self.assertEqual(status, 0, said)
        self.assertEqual(hash_of_tensors(job.output), self.undisturbed())

    def mount_small_disk(self):
        if not may_mount():
            self.skipTest("this needs root, to mount a small file system")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", self.folder], check=True)
        self.mounted = self.folder

    def test_full_disk(self):
        self.mount_small_disk()
        job = Job(self.folder)
        job.wait_for_epochs(EPOCHS + 2)
        filler = self.folder / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 12))
            except OSError:
                pass  # now it is full
        status, said = job.end()
        self.assertEqual(status, 1, said)
        self.assertIn("No space left on device", said)
        self.assertIn(str(self.folder), said)
        filler.unlink()
        self.assert_finishes("--resume", "required")

    def test_disk_that_is_too_small_is_refused_with_both_figures(self):
        self.mount_small_disk()
        subprocess.run(["mount", "-o", "remount,size=1m", self.folder], check=True)
        status, said = Job(self.folder).end()
        self.assertEqual(status, 2, said)
        self.assertRegex(said, r"writes about \d+ bytes .* has \d+ free")

    def test_failure_of_a_rank_that_does_not_speak_for_the_folder(self):
        # Rank 1, the leader of the second stage, may write files of a kilobyte.
        words = [*WORDS, "--output-dir", str(self.folder / "result"), "--stages", "2"]
        limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh", PROGRAM]
        job = subprocess.run([ROOT / "launch/bitmill-mpirun", "-n", "1", PROGRAM, *words,
                              ":", "-n", "1", *limited, *words], stderr=subprocess.PIPE, text=True,
                             timeout=PATIENCE)
        self.assertEqual(job.returncode, 1, job.stderr)
        self.assertIn("File too large", job.stderr)
        self.assertIn("rank 1 ended with 1", job.stderr)

    def test_file_limit_that_is_reached_in_the_middle(self):
        job = Job(self.folder)
        job.wait_for_epochs(EPOCHS + 2)
        resource.prlimit(job.process.pid, resource.RLIMIT_FSIZE, (1 << 12, 1 << 12))
        status, said = job.end()
        self.assertEqual(status, 1, said)
        self.assertIn("File too large; raise the limit on the size of files (ulimit -f)", said)
        self.assert_finishes("--resume", "required")

    def test_hangup_of_a_terminal_that_takes_the_reader_with_it(self):
        job = Job(self.folder)
        job.wait_for_epochs(EPOCHS + 2)
        job.process.stderr.close()
        job.process.send_signal(signal.SIGHUP)
        self.assertEqual(job.process.wait(PATIENCE), 75)
        epochs = len(logged_epochs(job.work_dir))
        self.assertGreaterEqual(epochs, EPOCHS + 2)
        self.assert_finishes("--resume", "required")

    def test_full_shared_memory(self):
        if not may_mount():
            self.skipTest("this needs root, to mount another /dev/shm")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", "/dev/shm"], check=True)
        self.mounted = "/dev/shm"
        pathlib.Path("/dev/shm/filler").write_bytes(bytes(60 << 20))
        words = [PROGRAM, *WORDS, "--output-dir", str(self.folder / "result")]
        plain = ["env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                 "OMPI_MCA_rmaps_base_oversubscribe=1", "mpirun", "-n", "2"]
        refused = subprocess.run([*plain, *words], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertRegex(refused.stderr, r"/dev/shm on .* has 4194304 bytes free, and the 2 ranks")
        self.assertIn("OMPI_MCA_btl_vader_backing_directory", refused.stderr)
        job = subprocess.run([ROOT / "launch/bitmill-mpirun", "-n", "2", *words],
                             capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(job.returncode, 0, job.stderr)
        self.assertEqual(hash_of_tensors(self.folder / "result"), self.undisturbed())

    def test_disk_that_becomes_read_only(self):
        self.mount_small_disk()
        job = Job(self.folder)
        job.wait_for_epochs(EPOCHS + 2)
        # Open files keep a file system busy: as a disk with errors does, by force.
        while subprocess.run(["mount", "-o", "remount,ro", self.folder], capture_output=True).returncode:
            time.sleep(0.01)
        status, said = job.end()
        self.assertEqual(status, 1, said)
        self.assertIn("Read-only file system", said)
        status, said = Job(self.folder).end()
        self.assertEqual(status, 2, said)
        self.assertIn("nothing can be written", said)
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)
        self.assert_finishes("--resume", "required")

    def streams_on_disk(self):
        return "--scratch-dir", str(self.folder / "scratch"), "--stream-memory", "100K"

    def test_scratch_folder_that_vanishes(self):
        job = Job(self.folder, *self.streams_on_disk())
        job.wait_for_epochs(2)
        shutil.rmtree(self.folder / "scratch")
        status, said = job.end()
        self.assertEqual(status, 0, said)
        self.assertEqual(hash_of_tensors(job.output), self.undisturbed())

    def test_scratch_folder_that_vanishes_between_two_starts(self):
        job = Job(self.folder, *self.streams_on_disk())
        job.wait_for_epochs(EPOCHS + 2)
        job.process.kill()
        job.end()
        shutil.rmtree(self.folder / "scratch")
        self.assert_finishes("--resume", "required", *self.streams_on_disk())

    @staticmethod
    def name_of(descriptor):
        """Empty for one that was closed since it was listed: the job goes on."""
        try:
            return os.readlink(descriptor)
        except FileNotFoundError:
            return ""

    def test_stream_file_that_was_truncated(self):
        job = Job(self.folder, *self.streams_on_disk())
        job.wait_for_epochs(EPOCHS + 2)
        # It has no name any more: the kernel's view of the open file is the way to it.
        for entry in pathlib.Path(f"/proc/{job.process.pid}/fd").iterdir():
            if "streams-" in self.name_of(entry):
                os.truncate(entry, 100)
        status, said = job.end()
        self.assertEqual(status, 1, said)
        self.assertIn("streams-", said)
        self.assert_finishes("--resume", "required", *self.streams_on_disk())

    def test_damaged_block_is_named_and_built_again_on_request(self):
        job = Job(self.folder)
        job.wait_for_epochs(2 * EPOCHS + 2)
        job.process.kill()
        job.end()
        state = next(job.work_dir.glob("state-*"))
        packed = next(iter(sorted((state / "blocks").iterdir())))
        content = bytearray(packed.read_bytes())
        content[-1] ^= 1
        packed.write_bytes(content)
        said = subprocess.run([PROGRAM, "verify", "--work-dir", str(job.work_dir)],
                              capture_output=True, text=True)
        self.assertEqual(said.returncode, 1)
        self.assertIn("--redo-blocks 0", said.stderr)
        status, said = Job(self.folder).end()
        self.assertEqual(status, 1, said)
        self.assertIn("--redo-blocks 0", said)
        self.assert_finishes("--redo-blocks", "0")

    def test_second_start_is_refused_and_the_first_one_goes_on(self):
        job = Job(self.folder)
        job.wait_for_epochs(1)
        status, said = Job(self.folder).end()
        self.assertEqual(status, 2, said)
        self.assertRegex(said, rf"is held by another run: process {job.process.pid} on \S+, whose last beat")
        status, said = job.end()
        self.assertEqual(status, 0, said)
        self.assertEqual(hash_of_tensors(job.output), self.undisturbed())

    def test_work_folder_that_is_moved_during_the_run(self):
        job = Job(self.folder)
        job.wait_for_epochs(EPOCHS + 2)
        elsewhere = self.folder / "elsewhere"
        job.work_dir.rename(elsewhere)
        status, said = job.end()
        self.assertEqual(status, 1, said)
        # Most likely when it asks for its claim, and else when it writes.
        self.assertRegex(said, "has lost its folder|No such file")
        self.assertFalse(job.output.exists())
        self.assert_finishes("--resume", "required", "--work-dir", str(elsewhere))

    def test_starts_in_vain_end_with_a_failure(self):
        statuses = []
        while not statuses or statuses[-1] == 75:
            self.assertLess(len(statuses), 6)
            statuses.append(self.start_in_vain())
        self.assertEqual(statuses, [75, 75, 75, 1])
        self.assert_finishes("--resume", "required")

    def start_in_vain(self):
        """The wrapper's status for a start that was killed before its first epoch was done."""
        job = subprocess.Popen([ROOT / "launch/bitmill-mpirun", "-n", "1", PROGRAM, *WORDS,
                                "--output-dir", str(self.folder / "result")],
                               stderr=subprocess.PIPE, text=True)
        while "reading back a trial" not in job.stderr.readline():
            self.assertIsNone(job.poll())
        os.kill(self.holder(), signal.SIGKILL)
        job.communicate(timeout=PATIENCE)
        return job.returncode

    def holder(self):
        """Process id of whoever holds the work folder."""
        record = next((self.folder / "result.work").glob("state-*/holder.json"))
        return json.loads(record.read_text())["content"]["holder"]["pid"]

    def test_clock_that_steps_back(self):
        library = next(pathlib.Path("/usr/lib").rglob("libfaketime.so.1"), None)
        if library is None:
            self.skipTest("libfaketime is not installed: launch/setup.sh --with-slurm does that")
        clock = self.folder / "clock"
        clock.write_text("+0\n")
        job = Job(self.folder, "--time-limit", "1h", LD_PRELOAD=str(library),
                  FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
                  FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")
        job.wait_for_epochs(EPOCHS + 2)
        clock.write_text("-2h\n")
        job.wait_for_epochs(EPOCHS + 6)
        status = subprocess.run([PROGRAM, "status", "--json", "--work-dir", str(job.work_dir)],
                                capture_output=True, text=True)
        self.assertIn('"state":"running"', status.stdout)
        status, said = job.end()
        self.assertEqual(status, 0, said)
        self.assertEqual(hash_of_tensors(job.output), self.undisturbed())


def main():
    """All tests side by side; one that is named in a mount namespace of its own, where that is
    allowed."""
    if len(sys.argv) > 2 and "BITMILL_OWN_MOUNTS" not in os.environ:
        allowed = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
        environment = {**os.environ, "BITMILL_OWN_MOUNTS": "yes" if allowed else "no"}
        prefix = ["unshare", "--mount"] if allowed else []
        words = [*prefix, sys.executable, *sys.argv]
        os.execvpe(words[0], words, environment)
    global PROGRAM
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    if len(sys.argv) == 1:
        os.environ["BITMILL_UNDISTURBED"] = hash_of_undisturbed()
    side_by_side.main(3, PROGRAM)


main()
