#!/usr/bin/python3
"""A host at the end of a long cable that loses frames: far_test.py PROGRAM. Minutes."""

import sys

from jobs import SILENT, OnHosts, main

ONE_WAY = 0.02  # seconds
# How long a connection to sshd takes to be there.
CONNECT = ("import socket, time; began = time.monotonic(); socket.create_connection(('host2', 22)); "
           "print(time.monotonic() - began)")


class Far(OnHosts):
    far = {2: (ONE_WAY, 0.01)}

    def lost_frames(self):
        return len(self.hosts[1].lost_frames().read_text().splitlines())

    def test_a_long_cable_that_loses_frames_costs_time_only(self):
        host1, host2 = self.hosts
        seconds = float(host1.run(sys.executable, "-c", CONNECT))
        self.assertGreaterEqual(seconds, 2 * ONE_WAY)
        before = self.lost_frames()
        # Rank 0, which holds the folder, on either side.
        for hosts in ([host1, host2], [host2, host1]):
            self.name += "-again"
            self.assert_finishes(hosts[0], hosts, within=300)
        self.assertGreater(self.lost_frames(), before)

    def test_a_far_host_that_is_cut_off_is_named_and_the_job_goes_on_without_it(self):
        host1, host2 = self.hosts
        job = self.start_and_disturb([host1, host2], host2.cut)
        self.assert_ends(job, 75, SILENT.format(1, "host2"), "mpirun had not ended")
        self.assert_nothing_left(host1)
        self.assert_finishes(host1, [host1], "--resume", "required")

    def test_a_lost_far_host_loses_its_claim(self):
        host1, host2 = self.hosts
        self.start_and_disturb([host2, host1], host2.die)
        self.assert_nothing_left(host1, within=30)
        self.assert_finishes(host1, [host1], "--resume", "required")


main()
