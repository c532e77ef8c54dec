#!/usr/bin/python3
"""launch/bitmill-mpirun: signals, exit statuses, nothing left behind. The ranks are stand-ins."""

import concurrent.futures
import os
import pathlib
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import side_by_side

HERE = pathlib.Path(__file__).resolve().parent
WRAPPER = HERE.parent.parent / "launch" / "bitmill-mpirun"
PATIENCE = 40  # seconds until a wait has failed; a busy machine needs some of it


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Job:
    """bitmill-mpirun with two stand-in ranks, and where they are."""

    def __init__(self, folder, command="work", exit_code=None, files=(), path=None, hosts=(),
                 sigkill="1", **options):
        self.folder = pathlib.Path(folder)
        program = self.folder / "bitmill-of-another-name"
        shutil.copy(HERE / "stand_in_bitmill.py", program)
        program.chmod(0o755)
        for name in files:
            (self.folder / name).touch()
        words = [WRAPPER, "-n", "2", *hosts, program, command, folder]
        if exit_code is not None:
            words.append(str(exit_code))
        environment = dict(os.environ, OMPI_MCA_odls_base_sigkill_timeout=sigkill,
                           PATH=path or os.environ["PATH"])
        self.errors = open(self.folder / "stderr", "w+")
        self.process = subprocess.Popen(words, stderr=self.errors, env=environment, **options)

    def wait_until_ranks_work(self):
        until(lambda: all(self.pid_file(rank).exists() for rank in (0, 1)), "two ranks at work")
        self.ranks = [int(self.pid_file(rank).read_text()) for rank in (0, 1)]
        with open(f"/proc/{self.ranks[0]}/stat") as stat:
            self.mpirun = int(stat.read().rpartition(")")[2].split()[1])

    def pid_file(self, rank):
        return self.folder / f"rank.{rank}"

    def verdict(self, code):
        (self.folder / "verdict").write_text(str(code))

    def committed(self):
        return [(self.folder / f"committed.{rank}").exists() for rank in (0, 1)]

    def status(self):
        return self.process.wait(PATIENCE)

    def said(self):
        self.errors.seek(0)
        return self.errors.read()


class BitmillMpirun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bitmill-mpirun-test.")
        self.job = None

    def tearDown(self):
        if self.job:
            if self.job.process.poll() is None:
                self.job.process.kill()
                self.job.process.wait()
            self.job.errors.close()
        shutil.rmtree(self.folder)

    def start(self, *words, **options):
        self.job = Job(self.folder, *words, **options)
        return self.job

    def start_and_wait(self, *words, **options):
        self.start(*words, **options).wait_until_ranks_work()
        return self.job

    def assert_nothing_is_left(self):
        for pid in (self.job.mpirun, *self.job.ranks):
            self.assertFalse(runs(pid), f"process {pid} is still there")

    def test_statuses_that_mean_something_are_passed_on(self):
        for code in (0, 2, 75):
            self.start("work", code, files=["no-note"])
            self.assertEqual(self.job.status(), code)
            self.job.errors.close()

    def test_the_run_folder_knows_when_starts_are_in_vain(self):
        for verdict in (75, 1):
            job = self.start("work", 75)
            job.verdict(verdict)
            self.assertEqual(job.status(), verdict)
            job.errors.close()

    def test_a_failure_without_a_note_stays_a_failure(self):
        self.start("work", 1, files=["no-note"])
        self.assertEqual(self.job.status(), 1)

    def test_the_run_folder_decides_about_a_killed_rank(self):
        for verdict in (75, 1):
            job = self.start_and_wait()
            job.verdict(verdict)
            os.kill(job.ranks[1], signal.SIGKILL)
            self.assertEqual(job.status(), verdict)
            self.assert_nothing_is_left()
            for rank in (0, 1):
                job.pid_file(rank).unlink()
            job.errors.close()

    def test_a_killed_rank_without_a_note_is_a_failure_that_is_explained(self):
        job = self.start_and_wait(files=["no-note"])
        os.kill(job.ranks[0], signal.SIGKILL)
        self.assertEqual(job.status(), 1)
        self.assertIn("mpirun ended with 137", job.said())

    def fake_mpirun(self, text):
        """A PATH that begins with an mpirun of these words, which then does not end."""
        fake = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "mpirun"
        fake.write_text(f"#!/usr/bin/python3\nimport os, subprocess, sys, time\n{text}"
                        "time.sleep(1000)\n")
        fake.chmod(0o755)
        return f"{fake.parent}:{os.environ['PATH']}"

    @staticmethod
    def all_at_once(do, cases):
        """do(*case) of all cases, in threads: they wait."""
        with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
            return list(pool.map(lambda case: do(*case), cases))

    def outlived(self, files, verdict, hosts=(), sigkill="1"):
        """(exit status, what was said, seconds) where mpirun stays after one rank, which works 4 s."""
        folder = tempfile.mkdtemp(dir=self.folder)
        path = self.fake_mpirun("os.environ['OMPI_COMM_WORLD_RANK'] = '0'\n"
                                "begin = [os.path.basename(word) for word in sys.argv]"
                                ".index('bitmill-of-another-name')\n"
                                "subprocess.run(sys.argv[begin:])\n")
        began = time.monotonic()
        job = Job(folder, files=["brief", *files], path=path, hosts=hosts, sigkill=sigkill)
        job.verdict(verdict)
        status = job.status()
        job.errors.flush()
        said = job.said()
        job.errors.close()
        return status, said, time.monotonic() - began

    def test_an_mpirun_that_outlives_its_ranks_is_ended(self):
        # Without a work folder nobody knows that another start would get further.
        cases = ((["no-note"], 75), ([], 75), ([], 1), ([], 75, ["--host", "here:1,there:1"]))
        ends = self.all_at_once(self.outlived, cases)
        for case, status, (ended, said, seconds) in zip(cases, (1, 75, 1, 75), ends):
            self.assertEqual(ended, status, case)
            self.assertEqual("stood still" in said, "no-note" in case[0])
            self.assertEqual("another host cannot be reached" in said, len(case) > 2)
            self.assertEqual("8 s after its ranks on" in said, len(case) > 2)
            self.assertGreater(seconds, 4 + 6)  # it looks every two seconds

    def test_an_mpirun_that_may_take_long_to_end_is_given_the_time(self):
        # It sleeps through the time between its two signals: twice, over several hosts four times.
        cases = (([], 75, ["--host", "here:1"], "3"),
                 ([], 75, ["--mca", "odls_base_sigkill_timeout", "3", "--host", "here:1"]),
                 ([], 75, [], "7"))
        ends = self.all_at_once(self.outlived, cases)
        for case, (status, said, seconds) in zip(cases, ends):
            self.assertEqual(status, 75, said)
            self.assertEqual("had not ended 16 s after its ranks on" in said, case[2] != [])
            self.assertGreater(seconds, 4 + 14)

    def with_daemons_only(self, text, words, tools=None, **environment):
        """A wrapper whose mpirun has no rank here: TEXT is what it does. TOOLS stand before PATH."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        program = folder / "bitmill"
        shutil.copy(HERE / "stand_in_bitmill.py", program)
        (folder / "packed.work/state-0007").mkdir(parents=True)
        path = self.fake_mpirun("import pathlib\n"
                                "work = pathlib.Path(sys.argv[-1].rstrip('/') + '.work')\n" + text)
        if tools:
            path = f"{tools}:{path}"
        # What ctest sets for the tests' own mpirun is no wish of a user here.
        inherited = {name: value for name, value in os.environ.items()
                     if not name.startswith("OMPI_MCA_")}
        run = subprocess.run([WRAPPER, *(word.format(program=program) for word in words),
                              "--output-dir", f"{folder}/packed/"], capture_output=True, text=True,
                             timeout=PATIENCE, env={**inherited, "PATH": path, **environment,
                                                    "OMPI_MCA_odls_base_sigkill_timeout": "1"})
        return run.returncode, run.stderr

    ANOTHER_CLAIM = "(work / 'state-0007').rename(work / 'state-0008')\n"

    def test_an_mpirun_without_ranks_here_is_ended_when_its_daemons_are(self):
        # The daemons' ssh ends, for a host that is lost, and the words name the folder of the run.
        # It counts where this start has had its claim: what an older one left says nothing.
        def run(verdict, text):
            text = f"(work / 'verdict').write_text('{verdict}')\n{text}"
            return self.with_daemons_only(text + "subprocess.run(['sleep', '3'])\n",
                                          ["--host", "there:2", "{program}", "quantize"])

        cases = ((75, self.ANOTHER_CLAIM), (1, self.ANOTHER_CLAIM), (0, self.ANOTHER_CLAIM), (75, ""))
        for case, expected, (status, said) in zip(cases, (75, 1, 75, 1), self.all_at_once(run, cases)):
            self.assertEqual(status, expected, f"{case}: {said}")
            self.assertIn("8 s after its connections by ssh", said)
            self.assertEqual("before the work began" in said, not case[1])

    def test_a_chain_is_found_by_its_config(self):
        def run(config, work_dir):
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
            program, work = folder / "bitmill", folder / work_dir
            shutil.copy(HERE / "stand_in_bitmill.py", program)
            (work / "state-0007").mkdir(parents=True)
            (work / "verdict").write_text("1")
            (folder / "chain.cfg").write_text(config.format(folder=folder))
            path = self.fake_mpirun(f"import pathlib\nwork = pathlib.Path('{work}')\n"
                                    + self.ANOTHER_CLAIM + "subprocess.run(['sleep', '3'])\n")
            done = subprocess.run([WRAPPER, "--host", "there:2", program, "run", "--config",
                                   folder / "chain.cfg"], capture_output=True, text=True,
                                  timeout=PATIENCE, env=dict(os.environ, PATH=path))
            return done.returncode, done.stderr

        cases = (("[quantize]\noutput-dir = x\n[run]\n output-dir = {folder}/made/ # here\n",
                  "made.work"),
                 ("[run]\nwork-dir = \"{folder}/kept\"\noutput-dir = y\n", "kept"),
                 ("[ run ]\nwork-dir = {folder}/spaced\n", "spaced"),
                 ("[run]\nwork-dir = \"{folder}/a #1\" # here\n", "a #1"),
                 ("[quantize]\noutput-dir = {folder}/made\n[eval]\n", "made.work-chain"))
        for case, (status, said) in zip(cases, self.all_at_once(run, cases)):
            self.assertEqual(status, 1, f"{case}: {said}")
            self.assertNotIn("before the work began", said)

    def test_an_mpirun_that_a_daemon_does_not_reach_is_ended(self):
        status, said = self.with_daemons_only(
            "subprocess.run(['sleep', '1000'])\n",
            ["--host", "there:2", "{program}", "quantize", "--timeout", "3"])
        self.assertEqual(status, 1, said)
        self.assertIn("started no rank after 3 s (--timeout): 0 of its 1 daemons", said)
        self.assertIn("OMPI_MCA_oob_tcp_if_include", said)

    @staticmethod
    def own_address():
        """An address of this host that is not its loopback's."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
            try:
                way_out.connect(("192.0.2.1", 9))  # sends nothing
            except OSError:
                raise unittest.SkipTest("this needs an address that is not the loopback's")
            return way_out.getsockname()[0]

    def test_an_mpirun_that_all_daemons_have_reached_is_let_alone(self):
        # First a connection that ends long before its ssh. The others are missing for one second: a
        # look, which comes every two seconds, is within one of the three.
        address = self.own_address()
        connect = ("import socket\n"
                   f"listener = socket.create_server(('{address}', 0))\n"
                   "daemon = socket.create_connection(listener.getsockname())\n")
        cases = [(connect + "starter = subprocess.Popen(['sleep', '12'])\n"
                  "time.sleep(6)\ndaemon.close()\nstarter.wait()\nsys.exit(0)\n",)]
        cases += [(f"time.sleep({pause})\nsubprocess.run(['sleep', '1'])\nsys.exit(0)\n",)
                  for pause in (4, 4.8, 5.6)]
        ends = self.all_at_once(lambda text: self.with_daemons_only(
            text, ["--host", "there:2", "{program}", "quantize", "--timeout", "3"]), cases)
        for case, end in zip(cases, ends):
            self.assertEqual(end, (0, ""), case)

    def test_a_connection_within_the_host_is_no_daemon(self):
        connect = ("import socket\n"
                   "listener = socket.create_server(('', 0))\n"
                   "end = socket.socket(socket.{family})\n"
                   "end.connect(('{address}', listener.getsockname()[1]))\n"
                   "subprocess.run(['sleep', '1000'])\n")
        cases = (("AF_INET", "127.0.1.1"), ("AF_INET6", "::ffff:127.0.0.1"))
        ends = self.all_at_once(lambda family, address: self.with_daemons_only(
            connect.format(family=family, address=address),
            ["--host", "there:2", "{program}", "quantize", "--timeout", "3"]), cases)
        for case, (status, said) in zip(cases, ends):
            self.assertEqual(status, 1, f"{case}: {said}")
            self.assertIn("0 of its 1 daemons", said, case)

    def test_a_folder_that_could_not_be_read_is_not_asked(self):
        # What stands there may be of an older start. Where there was none, it is this one's.
        def run(fault, look):
            tools = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
            (tools / "find").write_text(
                "#!/bin/bash\ncase $1 in */packed.work)\n"
                f"  echo look >>{tools}/looks\n"
                f"  if [ $(wc -l <{tools}/looks) -eq {look} ]; then {fault}; fi ;;\n"
                f'esac\nexec {shutil.which("find")} "$@"\n')
            (tools / "find").chmod(0o755)
            return self.with_daemons_only(
                "(work / 'verdict').write_text('75')\n" + self.ANOTHER_CLAIM
                + "subprocess.run(['sleep', '3'])\n",
                ["--host", "there:2", "{program}", "quantize"], tools=tools)

        cases = (("kill -KILL $$", 1), ("echo find: Input/output error >&2; exit 1", 1),
                 ("echo find: Input/output error >&2; exit 1", 2),
                 ("echo find: No such file or directory >&2; exit 1", 1))
        for case, (status, said) in zip(cases, self.all_at_once(run, cases)):
            unread = "No such" not in case[0]
            self.assertEqual(status, 1 if unread else 75, f"{case}: {said}")
            self.assertEqual("packed.work could not be read" in said, unread, case)
            self.assertNotIn("before the work began", said)

    def test_a_folder_that_is_new_is_asked(self):
        work_dir = pathlib.Path(self.folder) / "new.work"
        status, said = self.with_daemons_only(
            f"pathlib.Path('{work_dir}/state-0001').mkdir(parents=True)\n"
            f"pathlib.Path('{work_dir}/verdict').write_text('75')\nsubprocess.run(['sleep', '3'])\n",
            ["--host", "there:2", "{program}", "quantize", "--work-dir", str(work_dir)])
        self.assertEqual(status, 75, said)

    def test_a_value_of_mpirun_is_no_command(self):
        def run(*words):
            return self.with_daemons_only(
                "(work / 'verdict').write_text('75')\n" + self.ANOTHER_CLAIM
                + "subprocess.run(['sleep', '3'])\n", [*words, "{program}", "quantize"])

        cases = (("--host", "run"), ("--host", "there:2", "--wdir", "tune"))
        for case, (status, said) in zip(cases, self.all_at_once(run, cases)):
            self.assertEqual(status, 75, f"{case}: {said}")

    def ssh_words(self, words=(), **environment):
        """What mpirun is told to say to ssh."""
        _, said = self.with_daemons_only(
            "print('ssh:', os.environ.get('OMPI_MCA_plm_rsh_args'), file=sys.stderr)\nsys.exit(2)\n",
            [*words, "--host", "there:2", "{program}", "quantize", "--timeout=2m"], **environment)
        return said.partition("ssh: ")[2].split("\n")[0]

    def test_what_a_site_and_a_user_say_to_ssh_stays(self):
        ours = "-o ServerAliveInterval=15 -o ServerAliveCountMax=10"
        self.assertEqual(self.ssh_words(), ours)
        self.assertEqual(self.ssh_words(OMPI_MCA_plm_rsh_args="-p 2222"), f"-p 2222 {ours}")
        site = pathlib.Path(self.folder) / "site.conf"
        site.write_text("plm_rsh_args = -o ProxyJump=gate:22\n")
        files = {"OMPI_MCA_mca_base_param_files": str(site)}
        self.assertEqual(self.ssh_words(**files), f"-o ProxyJump=gate:22 {ours}")
        # Words beat the environment: mpirun takes them alone. Another agent does not know ssh's.
        words = ["--mca", "plm_rsh_args", "-p 2222"]
        self.assertEqual(self.ssh_words(words, **files), f"-p 2222 {ours}")
        self.assertEqual(self.ssh_words(["--mca", "plm_rsh_agent", "rsh"], **files), "None")
        site.write_text("plm_rsh_agent = rsh\n")
        self.assertEqual(self.ssh_words(**files), "None")

    def test_what_a_site_sets_for_mpirun_stays(self):
        site = pathlib.Path(self.folder) / "site.conf"
        for text, expected in (("", "none"), ("hwloc_base_binding_policy = core\n", "None")):
            site.write_text(text)
            _, said = self.with_daemons_only(
                "print('bind:', os.environ.get('OMPI_MCA_hwloc_base_binding_policy'), "
                "file=sys.stderr)\nsys.exit(2)\n", ["{program}", "quantize"],
                OMPI_MCA_mca_base_param_files=str(site))
            self.assertIn(f"bind: {expected}\n", said)

    def test_of_several_jobs_the_first_one_names_the_folder(self):
        # A value that is a command's name names no program, and what stands behind the colon is
        # another job.
        work_dir = pathlib.Path(self.folder) / "first.work"
        work_dir.mkdir()
        (work_dir / "verdict").write_text("75")
        status, said = self.with_daemons_only(
            f"pathlib.Path('{work_dir}/state-0001').mkdir()\nsubprocess.run(['sleep', '3'])\n",
            ["--host", "there:2", "{program}", "quantize", "--model", "tune", "--work-dir",
             str(work_dir), ":", "env", "bitmill-is-not-here", "quantize", "--work-dir", "nowhere"])
        self.assertEqual(status, 75, said)

    def where_it_puts_shared_memory(self, size, fill, tmpdir="/tmp", ranks=2):
        """(exit status, the folder that ranks are told, what was said), where /dev/shm has SIZE
        megabytes, of which FILL are taken."""
        if os.getuid() != 0:
            self.skipTest("this needs root, to mount another /dev/shm")
        script = (f"mount -t tmpfs -o size={size}m none /dev/shm && "
                  f"head -c {fill}M /dev/zero >/dev/shm/left-behind && "
                  f"exec {WRAPPER} -n {ranks} printenv OMPI_MCA_btl_vader_backing_directory")
        run = subprocess.run(["unshare", "-m", "bash", "-c", script], capture_output=True,
                             text=True, timeout=PATIENCE, env=dict(os.environ, TMPDIR=tmpdir))
        return run.returncode, run.stdout.split("\n")[0], run.stderr

    def test_shared_memory_goes_where_there_is_room(self):
        status, folder, said = self.where_it_puts_shared_memory(64, 0)
        self.assertEqual(status, 0, said)
        self.assertTrue(folder.startswith("/dev/shm/"), folder)
        for size, fill, ranks in ((64, 62, 2), (16, 0, 2), (30, 0, 4)):
            status, folder, said = self.where_it_puts_shared_memory(size, fill, ranks=ranks)
            self.assertEqual(status, 0, said)
            self.assertTrue(folder.startswith("/tmp/"), folder)
            self.assertFalse(os.path.exists(folder))

    def test_no_room_anywhere_is_named(self):
        status, _, said = self.where_it_puts_shared_memory(64, 62, tmpdir="/dev/shm")
        self.assertEqual(status, 2)
        self.assertRegex(said, r"about 26 MB of shared memory for 2 ranks; free are: /dev/shm has 2 MB")

    def test_what_the_ranks_say_counts_where_the_folder_cannot_be_judged(self):
        job = self.start("work", 75)
        job.verdict(2)
        self.assertEqual(job.status(), 75)

    def test_a_folder_that_cannot_be_judged_is_a_failure(self):
        job = self.start_and_wait()
        job.verdict(2)
        os.kill(job.ranks[0], signal.SIGKILL)
        self.assertEqual(job.status(), 1)
        self.assertIn("cannot judge", job.said())

    def test_every_polite_signal_lets_all_ranks_commit(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            job = self.start_and_wait()
            os.kill(job.process.pid, number)
            self.assertEqual(job.status(), 75, number)
            self.assertEqual(job.committed(), [True, True], number)
            self.assert_nothing_is_left()
            job.errors.close()
            for rank in (0, 1):
                job.pid_file(rank).unlink()
                (job.folder / f"committed.{rank}").unlink()

    def test_control_c_at_a_terminal_lets_all_ranks_commit(self):
        # The wrapper leads the terminal's foreground group, as a command of an interactive shell.
        leader, follower = pty.openpty()
        job = self.start_and_wait(stdin=follower, start_new_session=True,
                                  preexec_fn=lambda: self.take_terminal(follower))
        os.write(leader, b"\x03")
        self.assertEqual(job.status(), 75)
        self.assertEqual(job.committed(), [True, True])
        os.close(leader)
        os.close(follower)

    @staticmethod
    def take_terminal(terminal):
        import fcntl
        import termios
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    def test_two_signals_in_one_second_are_one_wish(self):
        job = self.start_and_wait()
        os.kill(job.process.pid, signal.SIGTERM)
        os.kill(job.process.pid, signal.SIGUSR1)
        self.assertEqual(job.status(), 75)
        self.assertEqual(job.committed(), [True, True])

    def test_a_later_second_signal_ends_at_once(self):
        for command in ("work", "deaf"):
            job = self.start_and_wait(command, files=["slow"])
            job.verdict(75)
            os.kill(job.process.pid, signal.SIGTERM)
            time.sleep(1.5)
            began = time.monotonic()
            os.kill(job.process.pid, signal.SIGTERM)
            self.assertEqual(job.status(), 75)
            self.assertLess(time.monotonic() - began, 30)  # the "work" lasts 60
            self.assert_nothing_is_left()
            for rank in (0, 1):
                job.pid_file(rank).unlink()
            job.errors.close()

    def test_a_signal_before_the_ranks_listen_ends_the_job(self):
        job = self.start(files=["no-note"])
        until(lambda: self.mpirun_of(job.process.pid), "mpirun")
        os.kill(job.process.pid, signal.SIGTERM)
        self.assertEqual(job.status(), 75)

    @staticmethod
    def mpirun_of(pid):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [child for child in children if "mpirun" in
                pathlib.Path(f"/proc/{child}/cmdline").read_text().split("\0")[0]]

    def test_ranks_of_a_killed_mpirun_do_not_stay(self):
        job = self.start_and_wait("deaf")
        job.verdict(75)
        os.kill(job.ranks[1], signal.SIGSTOP)
        os.kill(job.mpirun, signal.SIGKILL)
        self.assertEqual(job.status(), 75)
        self.assert_nothing_is_left()

    def test_a_signal_to_mpirun_itself_is_judged_by_the_run_folder(self):
        job = self.start_and_wait()
        job.verdict(75)
        os.kill(job.mpirun, signal.SIGTERM)
        self.assertEqual(job.status(), 75)
        self.assertEqual(job.committed(), [True, True])
        self.assert_nothing_is_left()

    def test_ranks_of_a_killed_wrapper_commit_and_go(self):
        job = self.start_and_wait()
        os.kill(job.process.pid, signal.SIGKILL)
        self.assertEqual(job.status(), -signal.SIGKILL)
        until(lambda: not any(runs(pid) for pid in (job.mpirun, *job.ranks)), "all gone")
        self.assertEqual(job.committed(), [True, True])

    def test_a_stranger_keeps_its_processes(self):
        # Another job's ranks do not fall to the end of this one.
        job = self.start_and_wait()
        with tempfile.TemporaryDirectory(prefix="bitmill-mpirun-test.") as other_folder:
            other = Job(other_folder)
            other.wait_until_ranks_work()
            job.verdict(75)
            os.kill(job.mpirun, signal.SIGKILL)
            self.assertEqual(job.status(), 75)
            self.assertTrue(all(runs(pid) for pid in other.ranks))
            other.process.terminate()
            self.assertEqual(other.status(), 75)
            other.errors.close()


if __name__ == "__main__":
    side_by_side.main(8)
