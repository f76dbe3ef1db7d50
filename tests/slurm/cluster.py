"""A real Slurm on this host: nodes that pose as big ones, five with four GPUs and one without."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil

from tests.slurm.configuration import DATABASE, DEVICES, GPU_NODES, NODE, NODES, SLURM, USER

DAEMONS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "mariadb-install-db")
CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv")
PACKAGES = "slurm-wlm slurmctld slurmd slurm-client munge slurmdbd mariadb-server"
SYSTEM = Path("/etc/slurm")
OWNER = "owner.pid"
FILES = ("slurm.conf", "gres.conf", "slurmdbd.conf")


class ClusterError(RuntimeError):
    """A daemon that did not come up."""


class Cluster:
    """Daemons of one Slurm, started in `folder` and ended by their process ids."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.name = f"tests{os.getpid()}"  # in the jobs' environment, by which they are found
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def running(self) -> Iterator["Cluster"]:
        """Start all daemons; whatever happens, end those that were started."""
        with ExitStack() as stack:
            stack.callback(self._stop)
            self._configure()
            self._authenticate()
            stack.callback(self._unlink)
            self._link()
            self._account()
            self._start("slurmctld", "slurmctld", "-D")
            _wait("slurmctld", lambda: _succeeds("scontrol", "ping"))
            for name in NODES:
                self.start_node(name)
            _wait("idle nodes", self._all_idle)
            stack.callback(self._cancel_all)
            yield self

    def start_node(self, name: str) -> None:
        """Start a node's daemon."""
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        self._start(name, "slurmd", "-N", name, "-D")

    def break_node(self, name: str) -> None:
        """Let a node break down: its daemon and all of its jobs' processes at once."""
        daemon = self.daemons.pop(name)
        daemon.kill()
        daemon.wait()
        self._kill_jobs(SLURMD_NODENAME=name)
        ask("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=broken")

    def _kill_jobs(self, **variables: str) -> None:
        """Kill jobs' processes with these variables, and those that watch them."""
        for process in self._processes(variables):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _processes(self, variables: Mapping[str, str]) -> list[psutil.Process]:
        here = {"SLURM_CLUSTER_NAME": self.name, **variables}
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if here.items() <= process.environ().items():
                    watchers = [p for p in process.parents() if p.name().startswith("slurmstepd")]
                    found += [*watchers, process]
        return found

    def _configure(self) -> None:
        (self.folder / "state").mkdir(parents=True)
        self.folder.chmod(0o755)
        ports = _free_ports(len(NODES) + 3)
        gres = [(" Gres=gpu:h200:4" if name in GPU_NODES else "") for name in NODES]
        nodes = [
            NODE.format(name=name, host=self.host, port=port, gres=gres)
            for name, port, gres in zip(NODES, ports, gres, strict=False)
        ]
        controller, database, sql = ports[len(NODES) :]
        facts = {"folder": self.folder, "host": self.host, "database": database, "sql": sql}
        facts["cluster"] = self.name
        self.sql = sql
        conf = SLURM.format(controller=controller, nodes="\n".join(nodes), **facts)
        (self.folder / "slurm.conf").write_text(conf, encoding="utf-8")
        (self.folder / OWNER).write_text(str(os.getpid()), encoding="utf-8")
        for index, device in enumerate(DEVICES):
            (self.folder / f"gpu{index}").symlink_to(device)
        gpus = f"NodeName=gpu[1-5] Name=gpu Type=h200 File={self.folder}/gpu[0-3]\n"
        (self.folder / "gres.conf").write_text("AutoDetect=off\n" + gpus, encoding="utf-8")
        secret = self.folder / "slurmdbd.conf"
        secret.write_text(DATABASE.format(**facts), encoding="utf-8")
        secret.chmod(0o600)

    def _authenticate(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        socket_file = self.folder / "munge.socket"
        files = {"key": key, "pid": "munged.pid", "log": "munged.log", "seed": "munged.seed"}
        options = [f"--{name}-file={self.folder / file}" for name, file in files.items()]
        # --force: a folder below /tmp is one that others may write to.
        self._start("munged", "munged", "-F", "--force", f"--socket={socket_file}", *options)
        _wait("munged", lambda: _succeeds("munge", "-n", "-S", str(socket_file)))

    def _account(self) -> None:
        data = self.folder / "database"
        sql = f"{self.folder}/database.socket"
        _run(
            "mariadb-install-db --no-defaults --user=root --skip-test-db"
            f" --auth-root-authentication-method=normal --datadir={data}".split()
        )
        self._start(
            "mariadbd",
            *f"mariadbd --no-defaults --user=root --datadir={data} --socket={sql} --port={self.sql}"
            f" --bind-address=127.0.0.1 --pid-file={self.folder}/mariadb.pid"
            " --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900".split(),
        )
        client = ["mariadb", "--no-defaults", "-S", sql, "-u", "root", "-e"]
        _wait("mariadbd", lambda: _succeeds(*client, "select 1"))
        _run([*client, USER])
        self._start("slurmdbd", "slurmdbd", "-D")
        _wait("slurmdbd", lambda: _succeeds("sacctmgr", "-n", "list", "cluster"))
        for words in (f"cluster {self.name}", "account tests", "user root account=tests"):
            _run(["sacctmgr", "-i", "add", *words.split()])

    def _start(self, name: str, *command: str) -> None:
        """Start a daemon that ends with this process, too."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", _which(command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the tests, which then end the daemons
                cwd=self.folder,
            )

    def _link(self) -> None:
        """Let commands find the configuration where no variable is needed for it."""
        for name in FILES:
            (SYSTEM / name).symlink_to(self.folder / name)

    def _unlink(self) -> None:
        for name in FILES:
            link = SYSTEM / name
            if link.is_symlink() and link.readlink() == self.folder / name:
                link.unlink()

    def _all_idle(self) -> bool:
        listed = ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()
        return set(listed) == set(NODES)

    def _cancel_all(self) -> None:
        subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30)
        with suppress(ClusterError):
            _wait("jobs to end", lambda: not ask("squeue", "-h").strip(), 20)

    def _stop(self) -> None:
        self._kill_jobs()
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def missing() -> str:
    """Why no Slurm can be started here, and what to do about it; empty where it can."""
    if os.geteuid() != 0:
        return "the tests' Slurm needs root, because its nodes start jobs for their user"
    absent = [name for name in (*DAEMONS, *CLIENTS) if _which(name) is None]
    if absent:
        return f"no {', '.join(absent)} here: apt-get install --no-install-recommends {PACKAGES}"
    _remove_stale_links()
    if any(os.path.lexists(SYSTEM / name) for name in FILES):
        return f"{SYSTEM} holds a Slurm's configuration, which the tests leave alone"
    return ""


def ask(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _which(command: str) -> str | None:
    """Path of a command, also of one that is root's."""
    return shutil.which(command, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def _remove_stale_links() -> None:
    """Remove links that killed tests left behind."""
    SYSTEM.mkdir(exist_ok=True)
    for link in map(SYSTEM.joinpath, FILES):
        if link.is_symlink():
            owner = link.readlink().with_name(OWNER)
            gone = not link.exists() and owner.is_relative_to(tempfile.gettempdir())
            if gone or (owner.exists() and not psutil.pid_exists(int(owner.read_text()))):
                link.unlink()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise ClusterError(f"{command[0]}: {done.stdout[-500:]}{done.stderr[-500:]}")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def _wait(what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.1)
