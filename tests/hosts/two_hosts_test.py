#!/usr/bin/python3
"""Two hosts and what happens between them most: two_hosts_test.py PROGRAM. CI runs it."""

import jobs
from jobs import SILENT, WATCHED, OnHosts, main


class TwoHosts(OnHosts):
    def test_the_bytes_are_those_of_one_rank_on_another_file_system(self):
        host1, host2 = self.hosts
        job = self.start(host1, [host1, host2])
        job.wait_for_epochs(3)
        # The other host sees how the run stands, and is not let in.
        said = host2.run(jobs.PROGRAM, "status", "--work-dir", f"{job.output}.work")
        self.assertRegex(said, r"running")
        second = self.start(host2, [host2])
        self.assert_ends(second, 2, r"is held by another run: process \d+ on host1, whose last beat")
        self.assert_ends(job, 0, "2 ranks")
        self.assert_same_bytes()
        self.assert_nothing_left(host1, host2)

    def test_a_cut_link_is_named_and_ends_the_job(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], host2.cut)
        # Ranks say where they are once a second: the last word may be of before the first block.
        self.assert_ends(job, 75, SILENT.format(1, "host2"), r"it was last in (beginning|block \d+, \w+)", "mpirun had not ended")
        self.assert_nothing_left(host1)
        host2.mend()
        self.assert_finishes(host1, [host1], "--resume", "required")
        self.assert_nothing_left(host2, within=30)

    def test_a_lost_host_loses_its_claim_to_another(self):
        host1, host2 = self.hosts
        self.start_and_disturb([host1, host2], host1.die)
        host1.start()
        self.assert_nothing_left(host2, within=30)
        job = self.start(host2, [host2, host1], "--resume", "required")
        self.assert_ends(job, 0, rf"is held by process \d+ on host1: watching for up to {WATCHED} s",
                         within=120)
        self.assert_same_bytes()


main()
