"""The first import of the server that runs are forked from: it ends when its controller is killed while it imports.

The server hears of its controller's death only when it has imported everything, which takes 5 s and on a busy machine
far longer. The thread that looks for it is over before the server forks (see freeze.py).
"""

import os
import sys
import threading

LOOK_S = 0.2
_ready = threading.Event()


def _watch(controller: int) -> None:
    while not _ready.wait(LOOK_S):
        if os.getppid() != controller:
            os._exit(1)


_thread = threading.Thread(target=_watch, args=(os.getppid(),), daemon=True)
# As multiprocessing starts the server; whoever else imports this has no controller
if sys.orig_argv[-1].startswith("from multiprocessing.forkserver"):
    _thread.start()


def stop_watching() -> None:
    """From now on the server hears of its controller's end by itself."""
    _ready.set()
    if _thread.is_alive():
        _thread.join()
