#!/usr/bin/python3
"""slurm/several-nodes.sbatch under a Slurm of three hosts: slurm_test.py PROGRAM. Minutes.

slurmctld runs on the store, a slurmd and a munged on every host; srun starts ranks through PMIx.
"""

import os
import re
import shutil
import sys
import time

import jobs
from hosts import BASE, ROOT, SHARED, Host, call, skip, until
from jobs import OnHosts, main

CONFIG = BASE / "slurm.conf"
# BASE/tmp is another folder on every host.
TEXT = f"""ClusterName=hosts
SlurmctldHost=store
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={BASE}/tmp/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={BASE}/slurm-state
SlurmdSpoolDir={BASE}/tmp/slurmd
SlurmctldPidFile={BASE}/slurmctld.pid
SlurmdPidFile={BASE}/tmp/slurmd.pid
SlurmctldLogFile={BASE}/slurmctld.log
SlurmdLogFile={BASE}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SwitchType=switch/none
MailProg=/bin/true
TmpFS={BASE}/tmp
SlurmdParameters=config_overrides
ReturnToService=2
# A node that has not answered for so long is down, and its jobs are requeued.
SlurmdTimeout=15
InactiveLimit=0
KillWait=5
MinJobAge=300
JobRequeue=1
UnkillableStepTimeout=15
NodeName=host[1-3] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def require_slurm():
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "srun")
               if shutil.which(name) is None]
    if missing:
        skip(f"there is no {', '.join(missing)} here (launch/setup.sh --with-hosts)")


class UnderSlurm(OnHosts):
    count = 3

    @classmethod
    def setUpClass(cls):
        require_slurm()
        super().setUpClass()
        CONFIG.write_text(TEXT)
        (BASE / "slurm-state").mkdir()
        (BASE / "munge.key").write_bytes(os.urandom(128))
        (BASE / "munge.key").chmod(0o400)
        call(*cls.munged())
        call("slurmctld", "-c", "-f", CONFIG, env={**os.environ, "SLURM_CONF": str(CONFIG)})
        for host in cls.lab.hosts:
            cls.start_slurmd(host)

    @staticmethod
    def munged():
        folder = BASE / "tmp"
        return ["munged", "--force", "--num-threads=2", f"--key-file={BASE}/munge.key",
                f"--socket={folder}/munge.sock", f"--pid-file={folder}/munge.pid",
                f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]

    @classmethod
    def start_slurmd(cls, host):
        host.run(*cls.munged())
        host.run("slurmd", "-c", "-f", CONFIG, SLURM_CONF=CONFIG)

    def setUp(self):
        super().setUp()
        until(lambda: self.say("sinfo", "-h", "-t", "idle", "-o", "%D") == "3", "three idle nodes")

    def tearDown(self):
        self.say("scancel", "--full", "--signal=KILL", "--state=RUNNING")
        self.say("scancel", "--state=PENDING")
        lost = [host for host in self.hosts if host.init is None]
        self.lab.restore()
        for host in lost:
            self.start_slurmd(host)

    def say(self, *words):
        return call(*words, env={**os.environ, "SLURM_CONF": str(CONFIG)}).strip()

    def submit(self, *words):
        """A copy of slurm/ on the shared folder, edited as a user does; the number of the job."""
        edited = BASE / f"edited-{self.name}"
        shutil.copytree(ROOT / "slurm", edited)
        (edited / "bin").mkdir()
        os.symlink(jobs.PROGRAM, edited / "bin/bitmill")
        options = " ".join(str(word) for word in jobs.words()[5:])
        values = {"bin": edited / "bin", "model": ROOT / "tests/data/books-2M",
                  "output": SHARED / self.name, "calib": ROOT / "tests/data/books/calib.txt",
                  "options": f"({options})"}
        settings = edited / "settings.sh"
        text = settings.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
            self.assertEqual(count, 1, name)
        settings.write_text(text)
        self.folder = SHARED / f"jobs-{self.name}"
        host = self.hosts[2]
        host.run("cp", "-r", edited, self.folder)
        said = host.run("sh", "-c", f"cd {self.folder} && exec sbatch --parsable {' '.join(words)} "
                        "--ntasks-per-node=1 --cpus-per-task=1 several-nodes.sbatch", SLURM_CONF=CONFIG)
        return said.split()[-1]

    def field(self, number, name):
        found = re.search(rf"\b{name}=(\S+)", self.say("scontrol", "show", "job", number))
        return found.group(1) if found else ""

    def logged(self):
        folder = self.lab.on_brick(self.folder.name)
        return "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))

    def epochs(self):
        log = self.lab.on_brick(f"{self.name}.work/blocks.jsonl")
        return log.read_text(errors="replace").count('"epoch"') if log.exists() else 0

    def assert_completed(self, number, restarts):
        states = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        try:
            until(lambda: self.field(number, "JobState") in states, f"the end of job {number}", 240)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.say('scontrol', 'show', 'job', number)}\n"
                                 f"{self.logged()[-3000:]}") from None
        self.assertEqual(self.field(number, "JobState"), "COMPLETED", self.logged()[-3000:])
        self.assertEqual(int(self.field(number, "Restarts")), restarts)
        self.assert_same_bytes()

    def lose(self, choose, what):
        """A job on two hosts; `what` happens to one of them in its middle. `choose` says to which,
        told whether it has the batch script."""
        number = self.submit("--nodes=2")
        until(lambda: self.epochs() >= 6, "6 epochs")
        names = self.say("scontrol", "show", "hostnames", self.field(number, "NodeList")).split()
        batch = self.field(number, "BatchHost")
        lost = next(host for host in self.hosts if host.name in names and choose(host.name == batch))
        began = time.monotonic()
        what(lost)
        until(lambda: self.field(number, "Restarts") == "1", "the requeue", 120)
        requeued = time.monotonic() - began
        self.assert_completed(number, restarts=1)
        print(f"  {self._testMethodName}: requeued after {requeued:.1f} s, done after "
              f"{time.monotonic() - began:.1f} s", file=sys.stderr)

    def test_a_job_on_two_hosts_finishes(self):
        number = self.submit("--nodes=2")
        self.assert_completed(number, restarts=0)
        self.assertIn("on 2 ranks", self.logged())

    def test_a_lost_host_costs_a_requeue(self):
        self.lose(lambda batch: not batch, Host.die)

    def test_a_lost_host_of_the_batch_script_costs_a_requeue(self):
        self.lose(lambda batch: batch, Host.die)

    def test_a_host_that_is_cut_off_costs_a_requeue(self):
        self.lose(lambda batch: not batch, Host.cut)


main(also_require=require_slurm)
