"""bitmill jobs on the hosts of hosts.py, and what all tests beside it look at."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

from hosts import ROOT, SHARED, Lab, enter, kill, require, until

sys.path.append(str(ROOT / "tests/faults"))
import side_by_side  # noqa: E402

EPOCHS = 24  # of each of four blocks: a job of about ten seconds
TIMEOUT = 8  # seconds, of bitmill's --timeout
# From a fault until the wrapper has ended: --timeout, the wrapper's patience with mpirun, and what
# bitmill status needs to judge. A busy machine takes some more.
TO_END = TIMEOUT + 40
SECONDS = r"(?:[89]|[1-4]\d)(?:\.\d+)?"  # in bitmill's words: from TIMEOUT to TO_END
SILENT = r"rank {} on {} has not been heard of for " + SECONDS + r" s \(--timeout\)"
WATCHED = 20  # seconds for which a claim is watched that nobody gave back
PROGRAM = None
REMAINS = ("bitmill", "bitmill-mpirun", "mpirun", "orted", "ssh")


def words(timeout=TIMEOUT, epochs=EPOCHS):
    return ["quantize", "--model", ROOT / "tests/data/books-2M",
            "--calib", ROOT / "tests/data/books/calib.txt", "--recipe", "parallel",
            "--samples", "16", "--seq-len", "64", "--epochs", epochs, "--threads", "1",
            "--timeout", timeout]


def hash_of_tensors(folder):
    """Of the safetensors files of a packed folder; their names count too."""
    digest = hashlib.sha256()
    files = sorted(pathlib.Path(folder).glob("*.safetensors"))
    if not files:
        raise AssertionError(f"{folder} holds no safetensors file")
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class Job:
    """bitmill-mpirun on the host `on`, with one rank on each of `hosts`. `words`: of bitmill.
    `launcher`: more words of mpirun."""

    def __init__(self, on, hosts, name, words, *options, program=None, launcher=(), **environment):
        self.lab = on.lab
        self.output = SHARED / name
        list_of_hosts = ",".join(f"{host.name}:1" for host in hosts)
        self.process = on.begin(ROOT / "launch/bitmill-mpirun", "--host", list_of_hosts, *launcher,
                                program or PROGRAM, *words, "--output-dir", self.output, *options,
                                **environment)

    def wait_for_epochs(self, count):
        """Until so many were logged, over all starts. The store looks at the brick itself."""
        until(lambda: self.process.status(0) is not None or self.epochs() >= count,
              f"{count} epochs of {self.output}")
        if self.epochs() < count:
            raise AssertionError(f"the job ended with {self.process.status()}: {self.process.said()}")

    def epochs(self):
        log = self.lab.on_brick(f"{self.output.name}.work/blocks.jsonl")
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return sum('"epoch"' in line for line in lines)

    def holder(self):
        """host and pid of whoever holds the work folder."""
        record = next(self.lab.on_brick(f"{self.output.name}.work").glob("state-*/holder.json"))
        holder = json.loads(record.read_text())["content"]["holder"]
        return holder["host"], holder["pid"]


class OnHosts(unittest.TestCase):
    count = 2
    bricks = "one"
    size = 64
    far = None  # as Lab's
    words = staticmethod(words)  # of every job
    launcher = ()  # more words of mpirun
    lab = None
    expected = None  # hash of the result of one rank outside, on another file system
    sequence = 0

    @classmethod
    def setUpClass(cls):
        cls.expected = os.environ.get("BITMILL_UNDISTURBED") or cls.hash_of_undisturbed()
        cls.lab = Lab(cls.count, cls.bricks, cls.size, cls.far)

    @classmethod
    def hash_of_undisturbed(cls):
        with tempfile.TemporaryDirectory(prefix="bitmill-hosts.") as folder:
            output = pathlib.Path(folder) / "packed"
            done = subprocess.run([PROGRAM, *map(str, cls.words()), "--output-dir", output],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                raise AssertionError(f"a job that nobody touched failed: {done.stdout}")
            return hash_of_tensors(output)

    def setUp(self):
        OnHosts.sequence += 1
        self.name = f"packed-{OnHosts.sequence}"
        self.event_at = None

    def tearDown(self):
        self.lab.restore()

    @property
    def hosts(self):
        return self.lab.hosts

    def start(self, on, hosts, *options, timeout=TIMEOUT, **more):
        more.setdefault("launcher", self.launcher)
        self.job = Job(on, hosts, self.name, self.words(timeout), *options, **more)
        return self.job

    def start_and_disturb(self, hosts, disturb, epochs=6, **more):
        """A job whose wrapper runs on the first of its hosts; `disturb` is called in its middle."""
        job = self.start(hosts[0], hosts, **more)
        job.wait_for_epochs(epochs)
        self.disturb(disturb)
        return job

    def disturb(self, what):
        what()
        self.event_at = time.monotonic()

    def assert_ends(self, job, status, *said, within=TO_END):
        """`said`: expressions that its words must match. Prints a line of figures."""
        ended = job.process.status(within)
        seconds = time.monotonic() - (self.event_at or job.process.began)
        text = job.process.said()
        self.assertIsNotNone(ended, f"it has not ended in {within} s: {text}")
        self.assertEqual(ended, status, text)
        for expression in said:
            self.assertRegex(text, expression)
        errors = re.findall(r"(?m)^bitmill(?:-mpirun)?: .*$", text)
        print(f"  {self._testMethodName}: {ended} after {seconds:.1f} s", *errors[:3], sep="\n    ",
              file=sys.stderr)

    def assert_nothing_left(self, *hosts, within=5):
        for host in hosts:
            try:
                until(lambda: not host.processes(*REMAINS), "no process of the job", within)
            except AssertionError as error:
                raise AssertionError(f"{host.name}: {error}: {host.processes(*REMAINS)}") from None

    def assert_finishes(self, on, hosts, *options, within=120, **more):
        """The same words once more, from `on` on `hosts`: the bytes of a run that nobody touched."""
        self.event_at = None
        job = self.start(on, hosts, *options, **more)
        self.assert_ends(job, 0, within=within)
        self.assert_same_bytes()

    def assert_same_bytes(self):
        self.assertEqual(hash_of_tensors(self.lab.on_brick(self.name)), self.expected)


def main(at_once=3, also_require=lambda: None):
    """PROGRAM, then the words of unittest. Without any, all tests, `at_once` side by side, each with
    hosts of its own."""
    if len(sys.argv) > 2:
        enter()
    else:
        require()
        also_require()
    global PROGRAM
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    if len(sys.argv) == 1:
        tests = [kind for kind in vars(sys.modules["__main__"]).values()
                 if isinstance(kind, type) and issubclass(kind, OnHosts) and kind is not OnHosts]
        os.environ["BITMILL_UNDISTURBED"] = tests[-1].hash_of_undisturbed()
    side_by_side.main(at_once, PROGRAM)
