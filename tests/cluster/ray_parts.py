"""A Ray of two nodes, with two CPUs and a GPU each that is none, in a network of its own on this machine."""

import contextlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from conftest import ROOT

ALONE = ["unshare", "-n", "-u", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
ADDRESS = "127.0.0.1:6379"
NODE = ["--node-ip-address=127.0.0.1", "--num-cpus=2", "--num-gpus=1", "--disable-usage-stats"]
WAIT_S = 180.0

START = """
set -e
ip link set lo up
hostname node0
printf '127.0.0.1 localhost node0 node1\\n' > $DIR/hosts
mount --bind $DIR/hosts /etc/hosts
touch $DIR/started
while true; do sleep 1; done
"""


def why_not() -> str:
    """Why there can be no Ray here; nothing where there can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed (pip install 'finegrid[ray]')"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing (apt-get install util-linux iproute2)"
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        return "may not make a network of its own, which takes root"
    return ""


def until(what: Callable[[], object], why: Callable[[], str] = str) -> None:
    """Wait until `what` holds."""
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends, why()
        time.sleep(0.1)


def documented(option: str) -> list[str]:
    """The command of docs/ray.md that starts a node, by an option that it has."""
    lines = (ROOT / "docs" / "ray.md").read_text().splitlines()
    line = next(line for line in lines if line.startswith(".venv/bin/ray start") and option in line)
    return [*RAY, *shlex.split(line.replace("HEAD:", "127.0.0.1:"), comments=True)[1:]]


class Ray:
    """Commands run inside. `folder`: its files."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.process = folder, process
        until((folder / "started").exists, (folder / "start.log").read_text)
        self.inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        done = self.call(*documented("--head"), "--include-dashboard=false", *NODE, f"--temp-dir={folder}/ray")
        assert done.returncode == 0, done.stdout + done.stderr
        self.start_node()

    def start_node(self) -> None:
        """The second one, in a space of processes of its own: they end together, as a machine's do."""
        own = ["unshare", "-u", "-m", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", 'hostname node1; "$@"']
        node = shlex.join([*own, "node1", *documented("--address"), "--block", *NODE])
        pid = f"echo $! > {self.folder}/node1"
        self.call("bash", "-c", f"setsid {node} > {self.folder}/node1.log 2>&1 & {pid}")
        until(lambda: self.nodes() == 2, (self.folder / "node1.log").read_text)

    def kill_node(self) -> None:
        """The second one, without a word."""
        self.call("kill", "-9", (self.folder / "node1").read_text().strip())

    def nodes(self) -> int:
        """How many there are."""
        program = "import ray; ray.init('auto', log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"
        return int(self.call(sys.executable, "-c", program).stdout.strip() or 0)

    def command(self, *command: str) -> list[str]:
        """`command`, inside."""
        return ["nsenter", "-t", self.inside, "-n", "-u", "-m", "-p", "--", "env", "-C", str(ROOT), *command]

    def environment(self) -> dict[str, str]:
        """Of commands."""
        own = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ADDRESS}
        own["PYTEST_ADDOPTS"] = ""  # --until is of the tests outside
        return {**os.environ, **own, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}

    def call(self, *command: str, timeout_s: float = WAIT_S) -> "subprocess.CompletedProcess[str]":
        """Carry out a command inside."""
        with tempfile.TemporaryFile("w+") as out:  # a pipe would be held open by what it leaves behind
            done = subprocess.run(
                self.command(*command),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
            )
            out.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, out.read(), "")


@contextlib.contextmanager
def ray_cluster() -> Iterator[Ray]:
    """One that ends, with all that runs in it."""
    folder = Path(tempfile.mkdtemp(prefix="fgray", dir="/tmp"))  # Ray's sockets need a short path
    variables = {**os.environ, "DIR": str(folder)}
    with (folder / "start.log").open("wb") as out:
        process = subprocess.Popen([*ALONE, "bash", "-c", START], env=variables, stdout=out, stderr=out)
    try:
        yield Ray(folder, process)
    finally:
        process.kill()  # and with it the namespace
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Sweep:
    """`python train.py ARGUMENTS` inside the cluster."""

    def __init__(self, ray: Ray, folder: Path, arguments: Sequence[str], **variables: str) -> None:
        self.ray, self.file = ray, folder / f"out{time.monotonic_ns()}.txt"
        command = [sys.executable, str(ROOT / "train.py"), *arguments, f"sweep.root={folder / 'outputs'}"]
        own = {"FINEGRID_CACHE": str(folder / "cache"), "FINEGRID_RUNTIME": str(folder / "runtime")}
        inside = shlex.join(["exec", *command])  # so that its number inside can be told
        script = f"echo $$ > {self.file}.pid; {inside}"
        with self.file.open("w") as out:
            self.process = subprocess.Popen(
                ray.command("bash", "-c", script),
                env={**ray.environment(), **own, **variables},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        """What it has said so far."""
        return self.file.read_text()

    def until(self, text: str) -> None:
        """Wait until it has said this."""
        until(lambda: text in self.out or self.process.poll() is not None, lambda: self.out)
        assert text in self.out, f"never said {text}:\n{self.out}"

    def kill(self) -> None:
        """Without a word."""
        with contextlib.suppress(FileNotFoundError):
            self.ray.call("kill", "-9", self.file.with_name(f"{self.file.name}.pid").read_text().strip())
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Wait for its end; gives the exit code."""
        return self.process.wait(WAIT_S)
