#!/usr/bin/python3
"""Claims on the run folder between hosts, on three of them: claim_test.py PROGRAM. Minutes."""

import time

from hosts import VOLUME, until
from jobs import WATCHED, OnHosts, main


class Claims(OnHosts):
    count = 3

    def test_of_two_takers_on_two_hosts_one_gets_the_claim_of_a_lost_host(self):
        host1, host2, host3 = self.hosts
        for _ in range(3):
            self.name += "-again"
            self.start_and_disturb([host1], host1.die)
            host1.start()
            takers = [self.start(host, [host], "--resume", "required") for host in (host2, host3)]
            statuses = [taker.process.status(120) for taker in takers]
            said = [taker.process.said() for taker in takers]
            self.assertEqual(sorted(statuses), [0, 2], "\n".join(said))
            winner, loser = (0, 1) if statuses[0] == 0 else (1, 0)
            self.assertIn(f"watching for up to {WATCHED} s", said[winner])
            self.assertIn("is held by another run", said[loser])
            self.assert_same_bytes()

    def test_a_holder_that_wakes_up_finds_its_folder_taken(self):
        # All processes of its host stood still, and were taken for dead.
        host1, host2, host3 = self.hosts
        job = self.start_and_disturb([host1, host3], host1.freeze)
        # Its daemon waits for mpirun, whose host still holds the connection.
        until(lambda: not host3.processes("bitmill"), "the end of rank 1", 30)
        taker = self.start(host2, [host2], "--resume", "required")
        taker.wait_for_epochs(job.epochs() + 6)
        host1.thaw()
        # Another start is of no use: somebody else goes on.
        self.assert_ends(job, 1, r"is held by process \d+ on host2, which is alive", within=60)
        self.assertEqual(taker.holder()[0], "host2")
        self.assert_ends(taker, 0, within=60)
        self.assert_same_bytes()
        self.assert_nothing_left(*self.hosts)

    def test_a_holder_whose_host_is_back_finds_its_folder_taken(self):
        # One rank, no watchdog: only the folder can tell it. Its cable was out.
        host1, host2, _ = self.hosts
        # GlusterFS gives up after 42 s by itself. The cable is back before, where a machine is quiet.
        self.lab.gluster("set", VOLUME, "network.ping-timeout", "400")
        job = self.start_and_disturb([host1], host1.cut)
        taker = self.start(host2, [host2], "--resume", "required")
        self.assert_ends(taker, 0, within=120)
        self.assert_same_bytes()
        host1.mend()
        # The run is done, by another: this is what its folder says.
        self.assert_ends(job, 0, "No such file|has lost its folder|endpoint is not connected", within=90)
        self.assert_same_bytes()

    def test_a_folder_that_answers_nobody_for_a_while_is_not_taken_from_its_holder(self):
        # The holder cannot beat, and the taker cannot read: it has seen no silence of the holder.
        host1, host2, _ = self.hosts
        job = self.start(host1, [host1], timeout=120)
        job.wait_for_epochs(6)
        second = self.start(host2, [host2])
        until(lambda: "watching for up to" in second.process.said(), "the second start watches")
        self.lab.stop_brick()
        time.sleep(WATCHED + 5)
        self.lab.go_on_brick()
        self.assert_ends(second, 2, "is held by another run", within=60)
        self.assert_ends(job, 0, within=60)
        self.assert_same_bytes()


main()
