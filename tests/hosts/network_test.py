#!/usr/bin/python3
"""Hosts and cables that fail, on three hosts: network_test.py PROGRAM. Minutes.

Whatever happens, it is named, the wrapper ends, nothing stays on a host that can be reached, and
the result has the bytes of one rank that nobody touched.
"""

import pathlib
import signal
import time

import jobs
from hosts import BASE, STORE_ADDRESS, kill
from jobs import SILENT, OnHosts, main


class Network(OnHosts):
    count = 3

    def test_a_host_that_is_gone_is_named_and_the_job_goes_on_with_the_others(self):
        host1, host2, host3 = self.hosts
        job = self.start_and_disturb(self.hosts, host3.die)
        self.assert_ends(job, 75, SILENT.format(2, "host3"), "mpirun had not ended")
        self.assert_nothing_left(host1, host2)
        self.assert_finishes(host1, [host1, host2], "--resume", "required")

    def test_hosts_that_reach_the_folder_but_not_each_other(self):
        # As with a network of its own for storage: both could still write.
        host1, host2, host3 = self.hosts

        def part():
            host1.isolate()
            host2.isolate()

        job = self.start_and_disturb([host1, host2, host3], part)
        self.assert_ends(job, 75, SILENT.format(1, "host2"))
        self.assert_nothing_left(host1, host3)
        self.assert_finishes(host1, [host1, host3], "--resume", "required")

    def test_a_host_whose_processes_stand_still(self):
        host1, host2, host3 = self.hosts
        job = self.start_and_disturb(self.hosts, host2.freeze)
        self.assert_ends(job, 75, SILENT.format(1, "host2"))
        self.assert_nothing_left(host1, host3)
        host2.thaw()
        self.assert_nothing_left(host2, within=30)
        self.assert_finishes(host3, [host3], "--resume", "required")

    def test_a_cable_that_is_back_within_the_timeout_costs_time_only(self):
        host1, host2, _ = self.hosts
        for host in (host1, host2):
            self.name += "-again"
            job = self.start_and_disturb([host1, host2], host.cut, timeout=60)
            time.sleep(6)
            host.mend()
            self.assert_ends(job, 0, within=120)
            self.assert_same_bytes()

    def test_the_host_of_the_wrapper_is_cut_off(self):
        # From the others and from the folder: nobody can say how the run stands, until it is back.
        host1, host2, host3 = self.hosts
        job = self.start_and_disturb(self.hosts, host1.cut)
        self.assert_ends(job, 75, within=150)
        # Whoever asked the folder ends when GlusterFS gives up, after 42 s: nothing can end it before.
        self.assert_nothing_left(host1, within=60)
        self.assert_finishes(host2, [host2, host3], "--resume", "required")
        host1.mend()
        self.assert_nothing_left(host2, host3, within=60)

    def test_a_wrapper_on_a_host_without_ranks(self):
        host1, host2, host3 = self.hosts
        job = self.start(host1, [host2, host3])
        job.wait_for_epochs(6)
        self.disturb(host3.cut)
        # ssh counts three silences of 15 seconds.
        self.assert_ends(job, 75, SILENT.format(1, "host3"), within=120)
        self.assert_nothing_left(host1, host2)
        host3.mend()
        self.assert_finishes(host2, [host2, host3], "--resume", "required")

    def test_a_killed_rank_on_another_host(self):
        host1, host2, _ = self.hosts
        job = self.start(host1, [host1, host2])
        job.wait_for_epochs(6)
        self.disturb(lambda: [kill(pid) for pid in host2.processes("bitmill")])
        self.assert_ends(job, 75, r"rank 1 on host2 is gone")
        self.assert_nothing_left(host1, host2)
        self.assert_finishes(host1, self.hosts, "--resume", "required")

    def test_kills_on_two_hosts_are_resumed_on_one_and_on_three(self):
        host1, host2, _ = self.hosts
        first = [host1, host2]
        for ways in ((first, [host2], self.hosts), (first, self.hosts, [host2])):
            self.name += "-again"
            epochs = 0
            for hosts in ways[:2]:
                job = self.start(hosts[0], hosts)
                job.wait_for_epochs(epochs + 8)
                self.disturb(lambda: [kill(pid) for pid in hosts[-1].processes("bitmill")])
                self.assert_ends(job, 75)
                epochs = job.epochs()
            self.assert_finishes(ways[2][0], ways[2], "--resume", "required")

    def test_a_wish_to_stop_reaches_every_host(self):
        host1, host2, host3 = self.hosts
        job = self.start(host1, self.hosts)
        job.wait_for_epochs(6)
        self.disturb(lambda: job.process.signal(signal.SIGTERM))
        self.assert_ends(job, 75, "Run the same command again to go on")
        self.assert_nothing_left(*self.hosts)
        self.assert_finishes(host2, [host2, host3], "--resume", "required")

    def test_a_killed_wrapper_leaves_nothing_on_any_host(self):
        host1, host2, _ = self.hosts
        job = self.start(host1, [host1, host2])
        job.wait_for_epochs(6)
        job.process.signal(signal.SIGKILL)
        self.assert_nothing_left(host1, host2, within=30)
        self.assert_finishes(host2, [host2], "--resume", "required")

    def test_a_slow_cable_costs_time_only(self):
        host1, host2, _ = self.hosts
        job = self.start_and_disturb([host1, host2], lambda: host2.limit("4mbit"))
        self.assert_ends(job, 0, within=300)
        said = host2.run("tc", "-s", "qdisc", "show", "dev", "eth0")
        self.assertRegex(said, r"overlimits [1-9]", "nothing had to wait")
        self.assert_same_bytes()

    def test_a_host_whose_daemon_cannot_connect_back(self):
        # mpirun says an address to which no packet of the other host comes, as behind a firewall.
        host1, host2, _ = self.hosts
        for host, address in ((host1, "10.98.0.1"), (host2, "10.97.0.1")):
            host.run("sh", "-c", "ip link add back type veth peer name nowhere && "
                     f"ip link set nowhere up && ip addr add {address}/24 dev back && ip link set back up")
        host2.run("ip", "route", "add", "10.98.0.0/24", "via", STORE_ADDRESS)
        names = {"OMPI_MCA_oob_tcp_if_include": "back"}
        job = self.start(host1, [host1, host2], **names)
        self.assert_ends(job, 1, r"started no rank after 8 s \(--timeout\): 0 of its 1 daemons",
                         "OMPI_MCA_oob_tcp_if_include")
        self.assert_nothing_left(host1)
        # The daemon there goes on trying: nobody can reach it but by ssh.
        host2.run("pkill", "orted")
        for host in (host1, host2):
            host.run("ip", "link", "del", "back")
        self.assert_finishes(host1, [host1, host2])

    def test_a_job_without_ranks_beside_mpirun_is_not_taken_for_one_that_never_began(self):
        # Its daemons have connected back: it may work for longer than --timeout.
        host1, host2, host3 = self.hosts
        job = self.start(host1, [host2, host3])
        self.assert_ends(job, 0, within=120)
        self.assertGreater(job.process.seconds(), 8)
        self.assert_same_bytes()

    def test_a_host_that_computes_slowly_costs_time_only(self):
        host1, host2, _ = self.hosts
        job = self.start(host1, [host1, host2])
        job.wait_for_epochs(6)
        rank = next(iter(host2.processes("bitmill")))
        self.disturb(lambda: None)
        stops = 0
        while job.process.status(0.1) is None:  # four fifths of the time it stands still
            stops += 1
            kill(rank, signal.SIGSTOP)
            time.sleep(0.4)
            kill(rank, signal.SIGCONT)
        self.assertGreater(stops, 5)
        self.assert_ends(job, 0)
        self.assert_same_bytes()

    def test_clocks_that_are_days_apart(self):
        host1, host2, _ = self.hosts
        library = next(pathlib.Path("/usr/lib").rglob("libfaketime.so.1"), None)
        if library is None:
            self.skipTest("libfaketime is not installed: launch/setup.sh --with-hosts does that")
        for host, shift in ((host1, "+3d"), (host2, "-5d")):
            host.run("sh", "-c", f"""cat >{BASE}/tmp/bitmill <<'END'
#!/bin/sh
LD_PRELOAD={library} FAKETIME={shift} FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 exec {jobs.PROGRAM} "$@"
END
chmod +x {BASE}/tmp/bitmill""")
        job = self.start(host1, [host1, host2], program=BASE / "tmp/bitmill")
        job.wait_for_epochs(6)
        said = host2.run(BASE / "tmp/bitmill", "status", "--work-dir", f"{job.output}.work")
        self.assertRegex(said, "running")
        second = self.start(host2, [host2], program=BASE / "tmp/bitmill")
        self.assert_ends(second, 2, "is held by another run")
        self.disturb(host1.die)
        host1.start()
        self.assert_nothing_left(host2, within=30)
        self.assert_finishes(host2, [host2], "--resume", "required", program=BASE / "tmp/bitmill")


main()
