#!/usr/bin/python3
"""Two or more hosts on this machine, with a shared folder between them, for the tests beside it.

A host is a set of namespaces: network, host name, processes, mounts, System V memory. It has its
own sshd, its own /dev/shm and TMPDIR, and an own GlusterFS client for the shared folder. So mpirun
starts its daemons by ssh, as between real hosts, and no host sees the processes of another one.

    store  10.99.0.254   the bridge, glusterd and its bricks: where the test itself runs
    host1  10.99.0.1     joined to the bridge by one cable, a pair of veth devices
    host2  10.99.0.2 ...

Everything lies in namespaces that end with the test's process, however that ends: processes,
devices, mounts, and a /run of their own in memory, where all files are. So there is nothing to take
down. Needs root, and the Debian packages of `launch/setup.sh --with-hosts`.

To look around: tests/hosts/hosts.py 2 gives a shell on the store, and says how to enter host1.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BASE = pathlib.Path("/run/hosts")  # in the /run of the test
SHARED = BASE / "shared"  # where every host mounts the shared folder
VOLUME = "v0"
STORE_ADDRESS = "10.99.0.254"
PROGRAMS = ("unshare", "nsenter", "setpriv", "ip", "ssh", "ssh-keygen", "/usr/sbin/sshd", "glusterd", "gluster",
            "glusterfs", "mpirun")
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PATIENCE = 60  # seconds until a wait has failed


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(77)


def require():
    """Ends this program with 77 where no hosts can be made. What begins their namespaces."""
    if os.getuid() != 0:
        skip("hosts can be made by root only")
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]
    if missing:
        skip(f"there is no {', '.join(missing)} here (launch/setup.sh --with-hosts)")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        skip(f"no file system can be mounted by FUSE here: {error}")
    prefix = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
              "--mount-proc"]
    trial = "ip link add b0 type bridge && ip link add e0 type veth peer name e1"
    tried = subprocess.run([*prefix, "sh", "-c", trial], env={**os.environ, "PATH": SEARCH},
                           capture_output=True, text=True)
    if tried.returncode != 0:
        skip(f"namespaces, a bridge and veth devices cannot be made here: {tried.stderr.strip()}")
    return prefix


def enter():
    """Starts this program again in namespaces of its own. Ends it with 77 where that cannot be."""
    if os.environ.get("BITMILL_HOSTS") == "inside":
        return
    prefix = require()
    # All ends with this process, also when it is killed. bash, as the first process inside, buries
    # those whose parents have died: a host does not end before all of its dead are buried.
    words = ["setpriv", "--pdeathsig", "KILL", *prefix, "bash", "-c", '"$@"; exit $?', "bash",
             sys.executable, *sys.argv]
    done = subprocess.run(words, env={**os.environ, "PATH": SEARCH, "BITMILL_HOSTS": "inside"})
    sys.exit(done.returncode if done.returncode >= 0 else 1)


def call(*words, **options):
    """Runs a command in the store. AssertionError with what it said when it fails."""
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def until(condition, what, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience} s")
        time.sleep(0.05)


def children(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def words_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def tmpfs(folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    words = ",".join(f"{name}={value}" for name, value in options.items())
    call("mount", "-t", "tmpfs", *(["-o", words] if words else []), "none", folder)


class Process:
    """A command on a host. It reads nothing; what it says is kept in one file."""

    count = 0

    def __init__(self, host, words, environment=None):
        Process.count += 1
        self.log = BASE / f"said-{Process.count}"
        self.began = time.monotonic()
        with open(self.log, "w") as log:
            self.nsenter = subprocess.Popen(
                [*host.enter_words(), "env", "-i", *host.environment(environment or {}),
                 *map(str, words)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        return self.log.read_text(errors="replace")

    def status(self, patience=PATIENCE):
        """Its exit status; None: it has not ended in `patience` seconds."""
        try:
            return self.nsenter.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def seconds(self):
        return time.monotonic() - self.began

    def signal(self, number):
        for pid in children(self.nsenter.pid):
            os.kill(pid, number)

    def kill(self):
        """With all its children; what it started on other hosts stays."""
        pids = [self.nsenter.pid]
        for pid in pids:
            pids.extend(children(pid))
        if self.nsenter.poll() is None:
            for pid in reversed(pids):
                kill(pid)
            self.nsenter.wait()


class Host:
    def __init__(self, lab, number):
        self.lab = lab
        self.number = number
        self.name = f"host{number}"
        self.address = f"10.99.0.{number}"
        self.port = f"port{number}"  # our end of its cable
        self.begun = []  # processes that tests began here
        self.init = None
        self.cable = None  # the process of a far cable

    def start(self):
        """Makes its namespaces, plugs the cable in, starts sshd and mounts the shared folder."""
        script = f"""
set -e
hostname {self.name}
mount -t tmpfs none /dev/shm
mount -t tmpfs none {BASE}/tmp
ip link set lo up
while ! ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip addr add {self.address}/24 dev eth0
ip link set eth0 up
{shutil.which("sshd") or "/usr/sbin/sshd"} -f {BASE}/ssh/sshd_config
touch {BASE}/{self.name}.up
while sleep 1000; do :; done"""
        up = BASE / f"{self.name}.up"
        up.unlink(missing_ok=True)
        with open(BASE / f"{self.name}.log", "a") as log:
            self.outer = subprocess.Popen(
                ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
                 "--mount-proc", "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.init = until(lambda: children(self.outer.pid), self.name)[0]
        until(lambda: os.path.basename(words_of(self.init)[0]) == "bash", self.name)
        self.plug_in()
        call("ip", "link", "set", self.port, "master", "bridge", "up")
        until(up.exists, f"{self.name} with its network")
        if self.lab.has_volume:
            self.mount()

    def plug_in(self):
        address = ["address", f"02:00:0a:63:00:{self.number:02x}"]
        if self.number not in self.lab.far:
            call("ip", "link", "add", self.port, "type", "veth", "peer", "name", "eth0", *address,
                 "netns", self.init)
            return
        seconds, loss = self.lab.far[self.number]
        far_port = f"far{self.number}"
        self.cable = subprocess.Popen([pathlib.Path(__file__).with_name("far_cable.py"), self.port,
                                       far_port, str(seconds), str(loss), self.lost_frames()])
        until(lambda: pathlib.Path(f"/sys/class/net/{far_port}").exists(), f"{self.name}'s cable")
        call("ip", "link", "set", far_port, *address)
        call("ip", "link", "set", far_port, "netns", self.init, "name", "eth0")

    def lost_frames(self):
        """A line for each frame that a far cable has lost."""
        return BASE / f"{self.name}.lost"

    def mount(self):
        self.run("glusterfs", "--volfile-server=store", f"--volfile-id=/{VOLUME}",
                 f"--log-file={BASE}/{self.name}.gluster.log", SHARED)
        self.run("mountpoint", "-q", SHARED)

    def enter_words(self):
        return ["nsenter", f"--target={self.init}", "--mount", "--uts", "--ipc", "--net", "--pid",
                f"--wd={BASE}"]

    @staticmethod
    def environment(more):
        values = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(BASE / "home"),
                  "TMPDIR": str(BASE / "tmp"), "LC_ALL": "C.UTF-8", **more}
        return [f"{name}={value}" for name, value in values.items()]

    def begin(self, *words, **environment):
        self.begun.append(Process(self, words, environment))
        return self.begun[-1]

    def run(self, *words, patience=PATIENCE, **environment):
        """Waits for its end; what it said. AssertionError when it fails."""
        process = self.begin(*words, **environment)
        status = process.status(patience)
        if status != 0:
            process.kill()
            raise AssertionError(f"{self.name}: {' '.join(map(str, words))} ended with {status}: "
                                 f"{process.said()}")
        return process.said()

    def processes(self, *names):
        """pid (as the store sees it) -> command line, of the processes here with these names."""
        own = os.readlink(f"/proc/{self.init}/ns/pid") if self.init else ""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                words = words_of(entry.name)
                try:
                    here = os.readlink(entry / "ns/pid") == own
                except OSError:
                    continue
                if words[0] == "bash" and len(words) > 1:
                    words = words[1:]  # a script is called as it is called, not as bash is
                if here and os.path.basename(words[0]) in names:
                    found[int(entry.name)] = " ".join(words).strip()
        return found

    # What may happen to a host. The store is reached by the same cable as the other hosts.

    def cut(self):
        call("ip", "link", "set", self.port, "down")

    def mend(self):
        call("ip", "link", "set", self.port, "up")

    def isolate(self, isolated=True):
        """Isolated hosts do not reach each other, but the store and all other hosts."""
        call("ip", "link", "set", self.port, "type", "bridge_slave", "isolated",
             "on" if isolated else "off")

    def limit(self, rate):
        """What it sends and receives, in bits a second ("10mbit"); None: no limit."""
        for where in ([], self.enter_words()):
            device = ["dev", "eth0" if where else self.port, "root"]
            subprocess.run([*where, "tc", "qdisc", "del", *device], capture_output=True)
            if rate:
                call(*where, "tc", "qdisc", "add", *device, "tbf", "rate", rate, "burst", "32kb",
                     "latency", "200ms")

    def die(self):
        """As with a plug that is pulled: all its processes are gone, nobody is told."""
        self.cut()
        os.kill(self.init, signal.SIGKILL)
        for process in self.begun:
            process.kill()
        self.outer.wait()
        until(lambda: not pathlib.Path(f"/proc/{self.init}").exists(), f"{self.name} gone")
        self.init = None
        if self.cable:
            self.cable.kill()
            self.cable.wait()
        subprocess.run(["ip", "link", "del", self.port], capture_output=True)

    def freeze(self):
        """All but the host's own kernel, which answers pings and holds connections."""
        self.send_all(signal.SIGSTOP)

    def thaw(self):
        self.send_all(signal.SIGCONT)
        for process in self.begun:  # nsenter stops where its child does
            kill(process.nsenter.pid, signal.SIGCONT)

    def send_all(self, number):
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.init:
                try:
                    if os.readlink(entry / "ns/pid") == own:
                        os.kill(int(entry.name), number)
                except OSError:
                    pass


class Lab:
    """The store and `count` hosts. `bricks`: "one", or "mirrored" on two bricks of the store, each
    of `size` megabytes. Without a volume, `bricks` is None. `far`: number of a host -> (seconds that
    a frame is under way on its cable, the share that is lost)."""

    def __init__(self, count, bricks="one", size=64, far=None):
        self.far = far or {}
        self.has_volume = False
        self.is_read_only = False
        self.size = size
        self.prepare(count)
        if bricks:
            self.make_volume(bricks)
        self.hosts = [Host(self, number) for number in range(1, count + 1)]
        for host in self.hosts:
            host.start()

    @staticmethod
    def prepare(count):
        call("mount", "-t", "tmpfs", "none", "/run")
        for folder in ("ssh", "home", "tmp", "shared"):
            (BASE / folder).mkdir(parents=True)
        for folder in ("/run/sshd", "/run/lock", "/run/gluster"):
            pathlib.Path(folder).mkdir()
        for folder in ("/var/lib/glusterd", "/var/log/glusterfs"):
            tmpfs(pathlib.Path(folder))
        call("hostname", "store")
        call("ip", "link", "set", "lo", "up")
        call("ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        call("ip", "addr", "add", f"{STORE_ADDRESS}/24", "dev", "bridge")
        call("ip", "link", "set", "bridge", "up")
        hosts = "".join(f"10.99.0.{number} host{number}\n" for number in range(1, count + 1))
        Lab.replace("/etc/hosts", f"127.0.0.1 localhost\n{STORE_ADDRESS} store\n{hosts}")
        Lab.prepare_ssh()

    @staticmethod
    def replace(path, text):
        """Another file in this place, for the test and its hosts only."""
        ours = BASE / path.strip("/").replace("/", "_")
        ours.write_text(text)
        call("mount", "--bind", ours, path)

    @staticmethod
    def prepare_ssh():
        folder = BASE / "ssh"
        for key in ("host", "user"):
            call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
        (folder / "sshd_config").write_text(
            f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nUsePAM no\n"
            f"StrictModes no\nPermitRootLogin yes\nPidFile none\nSetEnv TMPDIR={BASE}/tmp\n")
        Lab.replace("/etc/ssh/ssh_config",
                    f"Host *\nIdentityFile {folder}/user\nStrictHostKeyChecking no\n"
                    "UserKnownHostsFile /dev/null\nLogLevel ERROR\nConnectTimeout 5\nBatchMode yes\n")

    def make_volume(self, bricks):
        self.bricks = [BASE / f"brick{number}" for number in range(2 if bricks == "mirrored" else 1)]
        for brick in self.bricks:
            tmpfs(brick, size=f"{self.size}m")
            (brick / "data").mkdir()
        call("glusterd")
        until(lambda: subprocess.run(["gluster", "volume", "list"], capture_output=True).returncode == 0,
              "glusterd")
        mirrored = ["replica", str(len(self.bricks))] if len(self.bricks) > 1 else []
        self.gluster("create", VOLUME, *mirrored,
                     *(f"store:{brick}/data" for brick in self.bricks), "force")
        self.gluster("start", VOLUME)
        self.has_volume = True

    @staticmethod
    def gluster(verb, *words):
        return call("gluster", "--mode=script", "volume", verb, *words)

    def on_brick(self, name):
        """A file of the shared folder as the store sees it, without GlusterFS."""
        return self.bricks[0] / "data" / name

    def brick_process(self, brick):
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                words = words_of(entry.name)
                if os.path.basename(words[0]) == "glusterfsd" and f"{brick}/data" in words:
                    return int(entry.name)
        return None

    def restore(self):
        """Undoes whatever was done to hosts, cables and the shared folder, and ends what runs on the
        hosts."""
        if self.has_volume:
            self.restore_volume()
        for host in self.hosts:
            if host.init is None:
                host.start()
            host.mend()
            host.isolate(False)
            host.limit(None)
            host.thaw()
            for pid in host.processes("bitmill-mpirun", "mpirun", "orted", "bitmill"):
                if pid != host.init:
                    kill(pid)

    def restore_volume(self):
        for brick in self.bricks:
            (brick / "filler").unlink(missing_ok=True)
            pid = self.brick_process(brick)
            if pid:
                kill(pid, signal.SIGCONT)
        if not all(self.brick_process(brick) for brick in self.bricks):
            self.start_bricks()
        if self.is_read_only:
            self.read_only(False)

    def kill_brick(self, number=0):
        os.kill(self.brick_process(self.bricks[number]), signal.SIGKILL)

    def stop_brick(self, number=0):
        """It keeps its connections and does not answer."""
        os.kill(self.brick_process(self.bricks[number]), signal.SIGSTOP)

    def go_on_brick(self, number=0):
        os.kill(self.brick_process(self.bricks[number]), signal.SIGCONT)

    def start_bricks(self):
        self.gluster("start", VOLUME, "force")
        time.sleep(4)  # clients look for lost bricks every three seconds

    def fill(self):
        """Takes all room of the bricks, and returns the files that hold it."""
        fillers = [brick / "filler" for brick in self.bricks]
        for filler in fillers:
            with open(filler, "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                except OSError:
                    pass  # now it is full
        return fillers

    def read_only(self, on=True):
        self.is_read_only = on
        self.gluster("set", VOLUME, "features.read-only", "on" if on else "off")


def main():
    enter()
    lab = Lab(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for host in lab.hosts:
        print(f"{host.name}: {' '.join(host.enter_words())} bash", file=sys.stderr)
    print(f"the shared folder: {SHARED}; all this ends with the shell", file=sys.stderr)
    subprocess.run(sys.argv[2:] or ["bash"])


if __name__ == "__main__":
    main()
