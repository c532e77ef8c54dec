#!/usr/bin/python3
"""Two and three hosts with GPUs, emulated: gpus_test.py PROGRAM. PROGRAM is the emulated one.

Tensors travel by what stands for NCCL, over TCP between the hosts. Ranks elsewhere get variables of
the environment from mpirun (-x).
"""

from hosts import ROOT, kill
from jobs import SILENT, TIMEOUT, OnHosts, main

EPOCHS = 12  # of each of two blocks


def words(timeout=TIMEOUT):
    return ["quantize", "--model", ROOT / "tests/data/books-2M",
            "--calib", ROOT / "tests/data/books/calib.txt", "--recipe", "parallel",
            "--samples", "8", "--seq-len", "16", "--epochs", EPOCHS, "--batch", "4",
            "--max-blocks", "2", "--lag", "1", "--threads", "1", "--timeout", timeout,
            "--backend", "cuda", "--dtype", "float32"]


class Gpus(OnHosts):
    count = 3
    words = staticmethod(words)
    launcher = ("-x", "NCCL_SOCKET_IFNAME=eth0")

    def stages(self, hosts):
        return "--stages", str(min(len(hosts), 2)) if len(hosts) != 3 else "1"

    def test_the_bytes_are_those_of_one_gpu(self):
        host1, host2, _ = self.hosts
        for stages in ("2", "1"):  # streams from stage to stage, and slices among replicas
            self.name += "-again"
            self.assert_finishes(host1, [host1, host2], "--stages", stages)
            self.assertIn("from GPU to GPU by NCCL", self.job.process.said())

    def test_kills_on_two_hosts_are_resumed_on_one_and_on_three(self):
        host1, host2, _ = self.hosts
        first = [host1, host2]
        for ways in ((first, [host2], self.hosts), (first, self.hosts, [host2])):
            self.name += "-again"
            epochs = 0
            for hosts in ways[:2]:
                job = self.start(hosts[0], hosts, *self.stages(hosts))
                job.wait_for_epochs(epochs + 4)
                self.disturb(lambda: [kill(pid) for pid in hosts[-1].processes("bitmill")])
                self.assert_ends(job, 75)
                epochs = job.epochs()
            self.assert_finishes(ways[2][0], ways[2], *self.stages(ways[2]), "--resume", "required")

    def test_a_cut_link_is_named_and_ends_the_job(self):
        host1, host2, _ = self.hosts
        for stages in ("2", "1"):
            self.name += "-again"
            job = self.start(host1, [host1, host2], "--stages", stages)
            job.wait_for_epochs(4)
            self.disturb(host2.cut)
            self.assert_ends(job, 75, SILENT.format(1, "host2"))
            self.assert_nothing_left(host1)
            host2.mend()
            self.assert_finishes(host1, [host1], "--resume", "required")
            self.assert_nothing_left(host2, within=60)

    def test_an_interface_that_leads_nowhere_is_named(self):
        # The loopback, where each of the hosts finds itself alone.
        host1, host2, _ = self.hosts
        job = self.start(host1, [host1, host2], launcher=("-x", "NCCL_SOCKET_IFNAME=lo"), timeout=30)
        # 75: the words cannot tell it from a network that is gone for a while.
        self.assert_ends(job, 75, r"NCCL, connecting to rank \d: .* set NCCL_SOCKET_IFNAME", within=150)
        self.assert_nothing_left(host1, host2)
        self.assert_finishes(host1, [host1, host2], "--resume", "required")


main()
