#!/usr/bin/python3
"""The templates of slurm/ under a real Slurm of two nodes: templates_test.py PROGRAM short|long.

Whatever happens to a job, its result has the bytes of a run that nobody touched.
"""

import pathlib
import subprocess
import sys
import unittest

from cluster import BOOKS, CALIB, Cluster, Work, hash_of_tensors, until

# Epochs of each of the model's blocks: a job of a few seconds, and one that can be interrupted.
FEW, MANY = 4, 60
PROGRAM = None


class UnderSlurm(unittest.TestCase):
    requeue_exit = False  # as most sites are
    expected = {}  # epochs -> hash of the undisturbed result, made when first asked for

    @classmethod
    def setUpClass(cls):
        cls.failed = False
        cls.cluster = Cluster()
        cls.cluster.start(cls.requeue_exit)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop(keep=cls.failed)

    def setUp(self):
        self.works = []

    def tearDown(self):
        if any(error for _, error in self._outcome.result.failures + self._outcome.result.errors):
            type(self).failed = True
            for work in self.works:
                print(work.logs()[-4000:], file=sys.stderr)
        self.cluster.say("scancel", "--state=PENDING", check=False)
        self.cluster.say("scancel", "--full", "--signal=KILL", "--state=RUNNING", check=False)
        until(lambda: not self.cluster.say("squeue", "-h", "-t", "all", "-o", "%T")
              .replace("COMPLETED", "").replace("FAILED", "").replace("CANCELLED", "").strip(),
              "an empty queue")

    def work(self, name, epochs, **settings):
        work = Work(self.cluster, PROGRAM, name, epochs, **settings)
        self.works.append(work)
        return work

    def undisturbed(self, epochs):
        if epochs not in self.expected:
            output = self.cluster.base / f"undisturbed-{epochs}"
            subprocess.run([PROGRAM, "quantize", "--model", BOOKS, "--calib", CALIB,
                            "--output-dir", output, "--recipe", "parallel", "--samples", "32",
                            "--seq-len", "64", "--epochs", str(epochs)],
                           check=True, capture_output=True)
            self.expected[epochs] = hash_of_tensors(output)
        return self.expected[epochs]

    def assert_done(self, work, job, epochs, restarts):
        self.assertEqual(work.wait_for_end(job), ("COMPLETED", 0), work.logs()[-3000:])
        self.assertEqual(hash_of_tensors(work.output), self.undisturbed(epochs))
        if restarts is not None:
            self.assertEqual(work.restarts(job), restarts)


class Short(UnderSlurm):
    """What CI runs."""

    def test_one_node_finishes(self):
        work = self.work("one-node", FEW)
        job = work.submit("--ntasks=2", "--cpus-per-task=1", "one-node.sbatch")
        self.assert_done(work, job, FEW, restarts=0)

    def test_several_nodes_finish(self):
        work = self.work("several-nodes", FEW)
        job = work.submit("--ntasks-per-node=1", "several-nodes.sbatch")
        self.assert_done(work, job, FEW, restarts=0)
        self.assertIn("2 ranks", work.logs())

    def test_a_failure_is_not_requeued(self):
        # --resume required, and nothing to go on with: 2. A model that is not there: 1.
        for name, settings, status in (("usage", {}, 2), ("failure", {"model": "nowhere"}, 1)):
            work = self.work(name, FEW)
            if settings:
                work.edit("settings.sh", settings)
            else:
                work.edit("settings.sh", {"options": "(--resume required)"})
            job = work.submit("--ntasks=2", "--cpus-per-task=1", "one-node.sbatch")
            self.assertEqual(work.wait_for_end(job), ("FAILED", status))
            self.assertEqual(work.restarts(job), 0)

    def test_a_signal_before_the_limit_requeues_once(self):
        # As Slurm sends it: to the batch shell alone.
        work = self.work("signal", MANY)
        job = work.submit("--ntasks=2", "--cpus-per-task=1", "one-node.sbatch")
        work.wait_for_epochs(3)
        self.cluster.say("scancel", "--batch", "--signal=USR1", job)
        self.assert_done(work, job, MANY, restarts=1)
        self.assertIn("state committed: requeueing", work.logs())


class Long(Short):
    """The same and more, with RequeueExit=75: still one requeue at a time."""

    requeue_exit = True

    def test_one_gpu_finishes(self):
        work = self.work("one-gpu", FEW)
        job = work.submit("--cpus-per-task=1", "one-gpu.sbatch")
        self.assert_done(work, job, FEW, restarts=0)

    def test_several_nodes_are_requeued_before_the_limit(self):
        work = self.work("several-signal", MANY)
        job = work.submit("--ntasks-per-node=1", "several-nodes.sbatch")
        work.wait_for_epochs(3)
        self.cluster.say("scancel", "--batch", "--signal=USR1", job)
        self.assert_done(work, job, MANY, restarts=1)

    def test_a_time_limit_is_met_with_a_commit(self):
        # Slurm counts limits in minutes, and sends the signal up to a minute early.
        work = self.work("limit", 2 * MANY)
        job = work.submit("--ntasks=1", "--cpus-per-task=1", "--time=1", "--signal=B:USR1@40",
                          "one-node.sbatch")
        until(lambda: work.restarts(job) == 1, "the first requeue")
        self.assertIn("asking bitmill to commit", work.logs())
        self.cluster.say("scontrol", "update", f"jobid={job}", "timelimit=30")
        self.assert_done(work, job, 2 * MANY, restarts=None)

    def test_a_requeue_by_hand_goes_on(self):
        for template, words in (("one-node", ["--ntasks=2", "--cpus-per-task=1"]),
                                ("several-nodes", ["--ntasks-per-node=1"])):
            work = self.work(f"hand-{template}", MANY)
            job = work.submit(*words, f"{template}.sbatch")
            work.wait_for_epochs(3)
            self.cluster.say("scontrol", "requeue", job)
            self.assert_done(work, job, MANY, restarts=1)

    def test_a_preempted_job_goes_on(self):
        work = self.work("preempted", MANY)
        job = work.submit("--ntasks-per-node=1", "several-nodes.sbatch")
        work.wait_for_epochs(3)
        self.cluster.say("srun", "--partition=urgent", "--nodes=2", "--exclusive", "sleep", "2")
        self.assert_done(work, job, MANY, restarts=1)

    def test_a_node_that_goes_down_costs_a_restart(self):
        work = self.work("down", MANY)
        job = work.submit("--ntasks-per-node=1", "several-nodes.sbatch")
        work.wait_for_epochs(3)
        self.cluster.kill_node("n1")
        self.cluster.say("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        until(lambda: work.restarts(job) == 1, "the requeue")
        self.cluster.revive_node("n1")
        self.cluster.say("scontrol", "update", "nodename=n1", "state=resume", check=False)
        self.assert_done(work, job, MANY, restarts=1)

    def test_requeues_have_an_end(self):
        work = self.work("endless", MANY * 10, max_requeues=1)
        job = work.submit("--ntasks=1", "--cpus-per-task=1", "one-node.sbatch")
        for restarts in (0, 1):
            until(lambda: work.restarts(job) == restarts and work.state(job) == "RUNNING" and
                  work.logs().count("block 1/") > restarts, f"start {restarts}")
            before = work.epochs()
            work.wait_for_epochs(before + 2)
            self.cluster.say("scancel", "--batch", "--signal=USR1", job)
        self.assertEqual(work.wait_for_end(job), ("FAILED", 1))
        self.assertIn("not done after 1 requeues", work.logs())

    def test_a_task_of_an_array_is_requeued_alone(self):
        work = self.work("array", MANY)
        outputs = [work.folder / f"packed-{index}" for index in (1, 2)]
        (work.folder / "models.txt").write_text("".join(f"{BOOKS} {path}\n" for path in outputs))
        job = work.submit("--ntasks=1", "--cpus-per-task=1", "array.sbatch")
        until(lambda: all(work.epochs(path) >= 3 for path in outputs), "both at work")
        self.cluster.say("scancel", "--batch", "--signal=USR1", f"{job}_2")
        for index, path in enumerate(outputs, 1):
            self.assertEqual(work.wait_for_end(f"{job}_{index}"), ("COMPLETED", 0))
            self.assertEqual(work.restarts(f"{job}_{index}"), index - 1)
            self.assertEqual(hash_of_tensors(path), self.undisturbed(MANY))

    def test_evaluation_waits_for_a_job_that_is_requeued(self):
        work = self.work("chain", MANY)
        work.edit("evaluate.sbatch", {"#SBATCH --cpus-per-task": 1})  # the nodes are small
        said = subprocess.run([work.folder / "quantize-then-evaluate.sh", "one-node.sbatch",
                               "--ntasks=2", "--cpus-per-task=1"], check=True, text=True,
                              env=self.cluster.environment, capture_output=True).stdout
        quantize, evaluate = [word for word in said.replace(";", " ").split() if word.isdigit()]
        work.wait_for_epochs(3)
        self.cluster.say("scancel", "--batch", "--signal=USR1", quantize)
        until(lambda: work.restarts(quantize) == 1, "the requeue")
        self.assertEqual(work.state(evaluate), "PENDING")
        self.assert_done(work, quantize, MANY, restarts=1)
        self.assertEqual(work.wait_for_end(evaluate), ("COMPLETED", 0))
        self.assertIn("perplexity", pathlib.Path(f"{work.output}.eval.json").read_text())


if __name__ == "__main__":
    PROGRAM, kind = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    tests = [f"{kind.capitalize()}.{name}" for name in sys.argv[3:]] or [kind.capitalize()]
    unittest.main(argv=[sys.argv[0], *tests], verbosity=2)
