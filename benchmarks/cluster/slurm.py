"""A Slurm of two nodes, with two GPUs each that are none, in a network of its own on this machine."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("unshare", "nsenter", "ip", "munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue")
ALONE = ["unshare", "-n", "-u", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
UP_S = 60.0

START = """
set -e
ip link set lo up
hostname node0
ip addr add 10.99.0.1/32 dev lo
printf '127.0.0.1 localhost node0\\n127.0.0.1 node1\\n' > $DIR/hosts
mount --bind $DIR/hosts /etc/hosts
mknod $DIR/dev/nvidia0 c 1 3
mknod $DIR/dev/nvidia1 c 1 3
munged --force --socket=$DIR/run/munge.sock --key-file=$DIR/key --pid-file=$DIR/run/munged.pid \
    --log-file=$DIR/log/munged.log --seed-file=$DIR/run/seed --num-threads=2
slurmctld
slurmd -N node0
unshare -u bash -c 'hostname node1; slurmd -N node1'
touch $DIR/started
while true; do sleep 1; done
"""

CONFIG = """
ClusterName=test
SlurmctldHost=node0(127.0.0.1)
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket=$DIR/run/munge.sock,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd-%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
ReturnToService=2
KillWait=5
GresTypes=gpu
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=node0 NodeAddr=127.0.0.1 Port=16818 CPUs=32 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
NodeName=node1 NodeAddr=127.0.0.1 Port=16819 CPUs=32 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def why_not() -> str:
    """Why there can be no Slurm here; nothing where there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} missing (apt-get install slurm-wlm munge iproute2)"
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        return "may not make a network of its own, which takes root"
    return ""


class Slurm:
    """Commands run inside. `folder`: its files, its logs."""

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.process = folder, process
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        ends = time.monotonic() + UP_S
        while not (found := children.read_text().split()) or not (folder / "started").exists():
            assert process.poll() is None and time.monotonic() < ends, self.log()
            time.sleep(0.1)
        self.inside = found[0]
        while self.call("sinfo", "-h", "-t", "idle", "-o", "%D").stdout.strip() != "2":
            assert time.monotonic() < ends, self.log()
            time.sleep(0.2)

    def command(self, *command: str) -> list[str]:
        """`command`, inside."""
        return ["nsenter", "-t", self.inside, "-n", "-u", "-m", "-p", "--", "env", "-C", str(Path.cwd()), *command]

    def environment(self) -> dict[str, str]:
        """Of commands."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *command: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Carry out a command inside."""
        return subprocess.run(
            self.command(*command),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def jobs(self, *states: str) -> list[str]:
        """Ids of jobs in these states, of all that Slurm knows where none is given."""
        wanted = ["-t", ",".join(states)] if states else []
        return self.call("squeue", "-h", "-r", "-o", "%i", *wanted).stdout.split()

    def log(self) -> str:
        """What the daemons have said."""
        return "\n".join(file.read_text()[-3000:] for file in sorted((self.folder / "log").glob("*.log")))


@contextlib.contextmanager
def slurm_cluster() -> Iterator[Slurm]:
    """One that ends, with all that runs in it."""
    folder = Path(tempfile.mkdtemp(prefix="fgslurm", dir="/tmp"))  # munge wants a path that only root can write to
    for name in ("run", "state", "spool", "dev", "log"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    (folder / "run").chmod(0o755)
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    (folder / "slurm.conf").write_text(CONFIG.replace("$DIR", str(folder)))
    (folder / "gres.conf").write_text(f"NodeName=node[0-1] Name=gpu File={folder}/dev/nvidia[0-1]\n")
    variables = {**os.environ, "DIR": str(folder), "SLURM_CONF": str(folder / "slurm.conf")}
    with (folder / "log" / "start.log").open("wb") as out:
        process = subprocess.Popen([*ALONE, "bash", "-c", START], env=variables, stdout=out, stderr=out)
    try:
        yield Slurm(folder, process)
    finally:
        process.kill()  # and with it the namespace
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
