"""A PostgreSQL server of its own on this machine, which wants a password."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "not-to-be-seen-anywhere-7c1f"
USER = "postgres"


def programs() -> Path | None:
    """Where the newest initdb is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


def why_not() -> str:
    """Why there can be no server here; nothing where there can."""
    if programs() is None:
        return "initdb missing (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg missing (pip install 'finegrid[postgres]')"
    if os.getuid() == 0 and not shutil.which("runuser"):
        return "runuser missing: the server doesn't run as root"
    return ""


@dataclass(frozen=True)
class Server:
    """`url`: without the password, which is PASSWORD."""

    url: str
    port: int
    folder: Path

    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text()


@contextlib.contextmanager
def postgres(fsync: str = "off") -> Iterator[Server]:
    """One that ends with what was in it. `fsync`: on, as it comes, or off, which is quicker."""
    bin_folder = programs()
    assert bin_folder is not None
    folder = Path(tempfile.mkdtemp(prefix="fgpg", dir="/tmp"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "password").write_text(PASSWORD)
    as_user = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []
    if as_user:
        shutil.chown(folder, USER)
        shutil.chown(folder / "password", USER)

    def call(name: str, *arguments: str) -> None:
        command = [*as_user, str(bin_folder / name), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

    data = str(folder / "data")
    call("initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync={fsync} -c max_connections=200"
    call("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield Server(f"postgresql://{USER}@127.0.0.1:{port}/postgres", port, folder)
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
