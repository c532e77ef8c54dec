#!/usr/bin/python3
"""A shared folder that fails, on two bricks that mirror each other: shared_folder_test.py PROGRAM.
Minutes.
"""

import time

from jobs import SECONDS, OnHosts, main


class SharedFolder(OnHosts):
    bricks = "mirrored"

    def test_one_of_two_bricks_is_killed_and_comes_back(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], lambda: self.lab.kill_brick(1))
        self.assert_ends(job, 0)
        self.assert_same_bytes()
        self.lab.start_bricks()
        host2.run("sha256sum", *(f"{job.output}/{name}" for name in ("config.json", "model.safetensors")))

    def test_all_bricks_are_killed(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], self.kill_all)
        self.assert_ends(job, 1, rf"{self.name}.*(Transport endpoint is not connected|Input/output error)",
                         within=90)
        self.assert_nothing_left(host1, host2)
        self.lab.start_bricks()
        self.assert_finishes(host2, [host2, host1], "--resume", "required")

    def kill_all(self):
        for number in range(2):
            self.lab.kill_brick(number)

    def test_a_folder_that_answers_late_costs_time_only(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], lambda: None)
        stops = 0
        while job.process.status(0.2) is None:
            stops += 1
            self.stop_all()
            time.sleep(0.8)
            self.go_on_all()
        self.assertGreater(stops, 5)
        self.assert_ends(job, 0)
        self.assert_same_bytes()

    def test_a_folder_that_answers_nobody_ends_the_job(self):
        # For longer than --timeout, and shorter than GlusterFS itself takes to give up.
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], self.stop_all)
        self.assert_ends(job, 75, rf"no rank has done anything for {SECONDS} s \(--timeout\), and rank 0 on host1",
                         "does not answer within 30 s", within=120)
        # Whoever asked the folder ends when GlusterFS gives up, after 42 s: nothing can end it before.
        self.assert_nothing_left(host1, host2, within=60)
        self.go_on_all()
        self.assert_finishes(host2, [host2, host1], "--resume", "required")

    def stop_all(self):
        for number in range(2):
            self.lab.stop_brick(number)

    def go_on_all(self):
        for number in range(2):
            self.lab.go_on_brick(number)

    def test_a_full_folder(self):
        host1, host2 = self.hosts
        fillers = []
        job = self.start_and_disturb([host1, host2], lambda: fillers.extend(self.lab.fill()))
        # There is no room for the record of the failure, either: the folder says that another start
        # can go on. That start is refused with both figures.
        self.assert_ends(job, 75, rf"rank 0 on host1: .*{self.name}.*No space left on device")
        self.assert_nothing_left(host1, host2)
        self.assert_ends(self.start(host2, [host2]), 2, r"writes about \d+ bytes .* has \d+ free")
        for filler in fillers:
            filler.unlink()
        self.assert_finishes(host2, [host2, host1], "--resume", "required")

    def test_a_folder_that_becomes_read_only(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], self.lab.read_only)
        self.assert_ends(job, 75, rf"rank 0 on host1: .*{self.name}.*Read-only file system")  # as above
        second = self.start(host2, [host2, host1])
        # access() knows nothing of it where GlusterFS itself refuses to write.
        self.assert_ends(second, 1, r"rank 0 on host2: .*Read-only file system")
        self.lab.read_only(False)
        self.assert_finishes(host2, [host2, host1], "--resume", "required")


main()
