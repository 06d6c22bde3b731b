"""The temporary folder that Python's multiprocessing makes for a controller: marked as ours, cleared after a kill.

It holds the socket of the fork server. A controller that is killed can't remove it; the next one does, by the lock in
it, which is the kernel's and goes with its owner. Folders without one are other programs'.
"""

import contextlib
import functools
import os
import shutil
import tempfile
import time
from multiprocessing import util
from pathlib import Path

from training.run_folder import LOCK, RunInUse, lock

PREFIX = "pymp-"  # multiprocessing's
YOUNG_S = 2.0  # a folder whose lock is being made
LONGEST = 70  # bytes of its parent's path: a socket's own path may have 107


@functools.cache  # once a process; the lock is held as long as this has an answer
def mark_temp_folder() -> contextlib.ExitStack:
    """Clear what killed controllers have left, and hold the lock of this process's folder until it ends."""
    held = contextlib.ExitStack()
    with contextlib.suppress(OSError, RunInUse):  # a full disk, say: then it is left after a kill
        folder = _made()
        clear_dead(folder.parent)
        held.enter_context(lock(folder))
    return held


def _made() -> Path:
    """The folder, which multiprocessing makes once a process; in /tmp where TMPDIR is too long for the path of a
    socket."""
    usual = tempfile.gettempdir()
    try:
        if len(os.fsencode(usual)) > LONGEST:
            tempfile.tempdir = "/tmp"
        return Path(util.get_temp_dir())
    finally:
        tempfile.tempdir = usual


def clear_dead(parent: Path) -> None:
    """Remove the marked folders of processes that are gone."""
    for file in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError, RunInUse):  # another user's, or gone meanwhile
            if time.time() - file.stat().st_mtime > YOUNG_S:
                with lock(file.parent):
                    shutil.rmtree(file.parent)
