"""One start of a job under bitmill-mpirun, what is done to it, and what became of it."""

import hashlib
import itertools
import json
import math
import os
import pathlib
import shlex
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# What is done to a job -> the exit statuses that may follow. A kill that comes too late finds a
# job that gets done all the same (0), and 75 is the rule. Whoever kills the launcher sees that.
ACTIONS = {
    "kill a rank": (0, 75),
    "kill all ranks": (0, 75),
    "kill mpirun": (0, 75),
    "kill the launcher": (-signal.SIGKILL,),
    "stop a rank": (0, 75),
    "ask a rank": (0, 75),
    "ask mpirun": (0, 75),
    "ask the launcher": (0, 75),
}
# What may be said with a status of 1: there was no run yet that could be asked, or the kills came
# so early, one after the other, that no start got anywhere.
FAIR_FAILURES = ("before there was a work folder", "before the work began",
                 "ended without a new commit")
# Nothing may take longer than this beyond what was promised; a busy machine takes some.
PATIENCE = 60


class Settings:
    """What all starts of quantize have in common. `words`: the options of kill_loop."""

    walks = ("auto", "wavefront", "sweep")
    most_stages = math.inf
    # Logged epochs of a block that a kill may cost: an epoch is logged when its state is committed.
    # What a kill costs (the epoch that is trained, and the one that is being written) is not logged.
    most_repeated = 0

    def __init__(self, words, folder):
        self.folder = folder.resolve()
        self.timeout = words.timeout
        self.command = [str(words.program.resolve()), *self.job(words),
                        "--calib", str(words.calib), "--timeout", str(words.timeout),
                        *shlex.split(words.options)]

    def job(self, words):
        return ["quantize", *self.source(words)]

    @staticmethod
    def source(words):
        return ["--model", str(words.model), "--recipe", words.recipe]

    def words_of_start(self, lag, mesh):
        return ["--lag", lag, "--walk", mesh.walk, *mesh.stages_words()]


class TuneSettings(Settings):
    """The same of tune, which works on what one quiet run of quantize makes of the model."""

    walks = ("auto",)  # there is one way through the stages

    def job(self, words):
        config = json.loads((words.model / "config.json").read_text())
        self.most_stages = config["num_hidden_layers"]
        packed = self.folder / "packed"
        self.pack(words, packed)
        return ["tune", "--model", str(packed), "--reference", str(words.model)]

    def pack(self, words, packed):
        log = self.folder / "packed.log"
        program = [str(words.program.resolve()), "quantize", *self.source(words)]
        with open(log, "w") as said:
            done = subprocess.run([*program, "--calib", str(words.calib), "--samples", "8",
                                   "--seq-len", "64", "--epochs", "2", "--lag", "epochs",
                                   "--threads", "1", "--output-dir", str(packed)],
                                  stdout=said, stderr=said)
        if done.returncode != 0:
            raise SystemExit(f"kill_loop: there is nothing to tune, see {log}")

    def words_of_start(self, lag, mesh):
        return mesh.stages_words()


def hash_of_tensors(folder):
    """Of the safetensors files of a packed folder; their names count too."""
    digest = hashlib.sha256()
    files = sorted(pathlib.Path(folder).glob("*.safetensors"))
    if not files:
        raise SystemExit(f"kill_loop: {folder} holds no safetensors file")
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def carriers(mark):
    """Processes of this host whose environment holds `mark`. Zombies have no environment."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass  # gone, or somebody else's
    return found


# mpirun's fork of itself is no rank yet, and mpirun waits for it without an end.
def is_rank(pid):
    folder = pathlib.Path(f"/proc/{pid}")
    try:
        return (b"\0OMPI_COMM_WORLD_RANK=" in (folder / "environ").read_bytes()
                and (folder / "comm").read_text() != "mpirun\n")
    except OSError:
        return False


def logged_epochs(work_dir):
    """The epochs of blocks.jsonl in the order they were logged: [(block, epoch), ...]."""
    log = work_dir / "blocks.jsonl"
    epochs = []
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # cut short by a crash
        if "epoch" in entry:
            epochs.append((entry["block"], entry["epoch"]))
    return epochs


class Mesh:
    """How many ranks, and how they share the work. stages None: as the planner chooses."""

    def __init__(self, ranks, stages=None, walk="auto"):
        self.ranks = ranks
        self.stages = stages
        self.walk = walk

    def stages_words(self):
        return ["--stages", str(self.stages)] if self.stages else []

    def __str__(self):
        return f"{self.ranks} ranks, stages {self.stages or 'chosen'}, {self.walk}"


class KilledJob:
    starts = itertools.count(1)  # of all threads

    def __init__(self, settings, output, lag, mesh):
        start = next(KilledJob.starts)
        self.mark = f"BITMILL_KILL_LOOP={os.getpid()}.{start}".encode()
        self.work_dir = pathlib.Path(f"{output}.work")
        self.log = settings.folder / f"start-{start:04d}.log"
        self.mesh = mesh
        self.timeout = settings.timeout
        self.most_repeated = settings.most_repeated
        self.action = None
        self.status = None
        self.trained = False  # whether it had logged an epoch when it was killed
        self.lost = {}  # block -> epochs that were done again after this job
        self.left_behind = []
        self.seconds_to_end = 0.0
        self.epochs_before = logged_epochs(self.work_dir)
        name, value = self.mark.decode().split("=")
        # Ranks more than processors; ends of a job that do not wait for long.
        environment = {"OMPI_MCA_mpi_yield_when_idle": "1",
                       "OMPI_MCA_odls_base_sigkill_timeout": "1", **os.environ, name: value}
        words = [ROOT / "launch/bitmill-mpirun", "-n", str(mesh.ranks), *settings.command,
                 *settings.words_of_start(lag, mesh), "--output-dir", str(output)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        self.began = time.monotonic()

    def has_trained(self):
        """Whether it has logged an epoch that no earlier start had."""
        return len(logged_epochs(self.work_dir)) > len(self.epochs_before)

    def wait_for_an_epoch(self):
        while self.process.poll() is None and not self.has_trained():
            time.sleep(0.02)

    def parts(self):
        """mpirun (None before it is there) and the ranks."""
        pids = [pid for pid in carriers(self.mark) if pid != self.process.pid]
        ranks = [pid for pid in pids if is_rank(pid)]
        others = [pid for pid in pids if pid not in ranks]
        launchers = [pid for pid in others if self.runs_mpirun(pid)]
        return (launchers[0] if launchers else None), ranks

    @staticmethod
    def runs_mpirun(pid):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.path.basename(words[0]) == b"mpirun"

    def targets(self, action, random):
        """(signal, processes) of an action, or None when there is nobody to do it to."""
        mpirun, ranks = self.parts()
        if action.endswith(" the launcher"):
            pids = [self.process.pid]
        elif action.endswith(" mpirun"):
            pids = [mpirun] if mpirun else []
        elif action.endswith(" all ranks"):
            pids = ranks
        else:
            pids = [random.choice(ranks)] if ranks else []
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "ask": signal.SIGTERM}
        return number[action.split()[0]], pids

    def wait_for_targets(self, action, random):
        """As targets(), when there are any; (signal, []) when the job is done before."""
        while self.process.poll() is None:
            number, pids = self.targets(action, random)
            if pids:
                return number, pids
            time.sleep(0.02)
        return None, []

    def kill(self, action, instant, random):
        """Does `action` `instant` seconds after the start. False: the job was done before."""
        try:
            self.process.wait(max(0.0, self.began + instant - time.monotonic()))
            return False
        except subprocess.TimeoutExpired:
            pass
        number, pids = self.wait_for_targets(action, random)
        if not pids:
            return False
        self.action = action
        self.trained = self.has_trained()
        self.killed_at = time.monotonic()
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return True

    def wait(self):
        """Until the job is over, with all its processes. Its exit status; None: it does not end."""
        promised = self.timeout + 10 if self.action else 3600
        try:
            self.status = self.process.wait(promised + PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        deadline = time.monotonic() + PATIENCE
        while self.action == "kill the launcher" and carriers(self.mark):
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if self.action:
            self.seconds_to_end = time.monotonic() - self.killed_at
        self.left_behind = carriers(self.mark)
        for pid in self.left_behind:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return self.status

    def said(self):
        return self.log.read_text(errors="replace")

    def repeated_epochs(self):
        """block -> how many of its epochs this start did that an earlier one had logged."""
        known = set(self.epochs_before)
        again = [block for block, epoch in logged_epochs(self.work_dir)[len(self.epochs_before):]
                 if (block, epoch) in known]
        return {block: again.count(block) for block in set(again)}

    def failed_fairly(self):
        # An mpirun that is signalled before it has started a rank ends with 1 and without a word.
        never_began = self.action == "ask mpirun" and not self.said()
        return never_began or any(reason in self.said() for reason in FAIR_FAILURES)

    def problems(self):
        """What is wrong about the way this job ended, in sentences."""
        found = []
        if self.left_behind:
            found.append(f"processes {self.left_behind} were left behind")
        if self.status is None:
            found.append("the job did not end")
        elif self.status == 1 and self.failed_fairly():
            pass
        elif self.status not in ACTIONS.get(self.action, (0,)):
            found.append(f"exit status {self.status}")
        if any(count > self.most_repeated for count in self.repeated_epochs().values()):
            found.append(f"the kill before cost more than {self.most_repeated} logged epochs of a "
                         f"block: {self.repeated_epochs()}")
        return found
