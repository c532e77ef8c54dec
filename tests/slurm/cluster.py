"""A private Slurm (cluster.sh) and jobs from the templates of slurm/, for the tests beside it."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BOOKS = ROOT / "tests/data/books-2M"
CALIB = ROOT / "tests/data/books/calib.txt"
CORPUS = ROOT / "tests/data/books/eval.txt"
PATIENCE = 240  # seconds until a wait has failed


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.1)


def hash_of_tensors(folder):
    """Of the safetensors files of a packed folder; their names count too."""
    digest = hashlib.sha256()
    files = sorted(pathlib.Path(folder).glob("*.safetensors"))
    if not files:
        raise AssertionError(f"{folder} holds no safetensors file")
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class Cluster:
    """Slurm in a folder of its own. start() ends the process with 77 where there can be none."""

    def start(self, requeue_exit):
        # Short: sockets are in it.
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="bmslurm.", dir="/tmp"))
        self.folder = self.base / "cluster"
        environment = dict(os.environ)
        if requeue_exit:
            environment["REQUEUE_EXIT_LINE"] = "RequeueExit=75"
        done = subprocess.run([HERE / "cluster.sh", "start", self.folder], env=environment)
        if done.returncode != 0:
            shutil.rmtree(self.base)
            sys.exit(done.returncode)
        # As a user's login shell: nothing of the launcher that ran these tests.
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("OMPI_", "SLURM_", "PMIX_"))}
        self.environment.update(SLURM_CONF=str(self.folder / "slurm.conf"),
                                BITMILL_TEST_CLUSTER=str(self.folder),
                                OMPI_MCA_btl_tcp_if_include="lo",
                                OMPI_MCA_oob_tcp_if_include="lo",
                                OMPI_MCA_mpi_yield_when_idle="1",
                                OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

    def stop(self, keep=False):
        subprocess.run([HERE / "cluster.sh", "stop", self.folder], check=False)
        if keep:
            print(f"kept: {self.base}", file=sys.stderr)
        else:
            shutil.rmtree(self.base, ignore_errors=True)

    def say(self, *words, check=True):
        """What a command of Slurm prints."""
        done = subprocess.run(words, env=self.environment, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if check and done.returncode != 0:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}")
        return done.stdout.strip()

    def kill_node(self, name):
        pid = int((self.folder / f"run/slurmd.{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def revive_node(self, name):
        subprocess.run([HERE / "cluster.sh", "start-node", self.folder, name], check=True)
        until(lambda: self.say("sinfo", "-h", "-n", name, "-p", "main", "-o", "%T") in
              ("idle", "mixed", "allocated"), f"{name} back")


class Work:
    """A copy of slurm/ edited for the bundled model, and what became of its jobs."""

    def __init__(self, cluster, program, name, epochs, **settings):
        self.cluster = cluster
        self.folder = cluster.base / name
        shutil.copytree(ROOT / "slurm", self.folder)
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        os.symlink(program, bin_folder / "bitmill")
        os.symlink(ROOT / "launch/bitmill-mpirun", bin_folder / "bitmill-mpirun")
        self.output = self.folder / "packed"
        values = dict(bin=bin_folder, model=BOOKS, output=self.output, calib=CALIB, corpus=CORPUS,
                      options=f"(--recipe parallel --samples 32 --seq-len 64 --epochs {epochs} "
                              "--threads 1)", **settings)
        self.edit("settings.sh", values)

    def edit(self, file, values):
        """As a user does: gives the lines NAME=... other values."""
        path = self.folder / file
        text = path.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
            assert count == 1, f"{file} has {count} lines {name}="
        path.write_text(text)

    def submit(self, *words):
        """sbatch WORDS in this folder; the number of the job."""
        done = subprocess.run(["sbatch", "--parsable", *words], cwd=self.folder, text=True,
                              env=self.cluster.environment, capture_output=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"sbatch {words}: {done.stderr}")
        return done.stdout.strip()

    def field(self, job, name):
        found = re.search(rf"\b{name}=(\S+)", self.cluster.say("scontrol", "show", "job", job))
        return found.group(1) if found else ""

    def state(self, job):
        return self.field(job, "JobState")

    def restarts(self, job):
        return int(self.field(job, "Restarts"))

    def wait_for_end(self, job):
        """The last state, and the exit status of the batch script."""
        ends = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        state = until(lambda: self.state(job) in ends and self.state(job), f"the end of job {job}")
        return state, int(self.field(job, "ExitCode").split(":")[0])

    def epochs(self, output=None):
        """How many epochs were logged so far, over all starts."""
        log = pathlib.Path(f"{output or self.output}.work/blocks.jsonl")
        if not log.exists():
            return 0
        lines = [line for line in log.read_text().splitlines() if line.endswith("}")]
        return sum("epoch" in json.loads(line) for line in lines)

    def wait_for_epochs(self, count):
        until(lambda: self.epochs() >= count, f"{count} epochs of {self.output}")

    def logs(self):
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))
