"""What a run failed of that its neighbours on a GPU may have done: it goes on alone before it counts as failed.

Runs that share a card take memory from each other, and under MPS a fault of one (an illegal address, a death by signal)
is a fault of all: https://docs.nvidia.com/deploy/mps/ calls the state of the others undefined.
"""

import pickle
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from hydra.core.utils import JobReturn

from sweeps.hydra_glue.private import returned
from sweeps.launchers.launcher import Event
from sweeps.launchers.run_process import Processes, RunProcess, Task

Trouble = Literal["", "memory", "fault"]
CUDA_ERRORS = re.compile(r"CUDA error|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|cuBLAS error")


def trouble_of(error: Any, mps: bool, company: bool) -> Trouble:
    """Of what a run may have failed through others: a lack of memory in `company`, or with `mps` a fault of CUDA."""
    if not isinstance(error, Exception):
        return ""
    from training.engine.hardware.out_of_memory import out_of_memory

    if out_of_memory(error):
        return "memory" if company else ""
    return "fault" if mps and CUDA_ERRORS.search(str(error)) else ""


def trouble_in(result: JobReturn | None, mps: bool, company: bool) -> Trouble:
    """The same of what a run's process sent as its end."""
    return trouble_of(returned(result), mps, company) if result is not None else ""


def park(processes: Processes, run: RunProcess, why: str, retry: bool) -> Event:
    """End a run's process; it goes on from its last saved epoch when it can be alone on its card. Not `retry`: with the
    next command."""
    if not run.is_gone:
        run.process.kill()
    processes.release(run)
    run.handle.begun, run.handle.process = False, None
    if not retry:
        return Event("stopped", run.handle)
    processes.parked.append(replace(run.task, epoch=run.epoch, alone=True))
    return Event("retried", run.handle, note=f"#{run.handle.number} goes on from its last saved epoch, alone: {why}")


def without_graphs(
    processes: Processes, run: RunProcess, why: str, retry: bool, start: Callable[[Task, int], None]
) -> Event:
    """Go on from the last saved epoch in a fresh process: that of this run is of no more use after a recording of a
    CUDA graph that broke off. Not `retry`: with the next command. `start`: begins a task at its so manieth attempt."""
    processes.release(run)
    if not retry:
        return Event("stopped", run.handle)
    start(replace(run.task, epoch=run.epoch, no_graphs=why), run.attempt)
    note = f"#{run.handle.number} goes on from its last saved epoch without CUDA graphs, in a fresh process: {why}"
    return Event("retried", run.handle, note=note)


def part(processes: Processes, run: RunProcess, why: str, retry: bool) -> list[Event]:
    """Park all runs of the card of `run`, but those whose last words say that they had come to their end."""
    events = [park(processes, run, why, retry)]
    for other in [other for other in processes.at_work if other.slot.gpu == run.slot.gpu]:
        ended = _last_words(other)
        if ended is None:
            events.append(park(processes, other, why, retry))
        else:
            processes.tell_end(other)
            events.append(ended)
    return events


def _last_words(run: RunProcess) -> Event | None:
    """The end of a run that is in its channel already, unless the common fault was its end too."""
    with suppress(EOFError, OSError):
        while run.connection.poll():
            message, content = pickle.loads(run.connection.recv_bytes())
            if message == "epoch":
                run.epoch = max(run.epoch, content.epoch)
            elif message == "stopped" or (message == "ended" and not trouble_in(content, run.mps, company=True)):
                return Event(message, run.handle, result=content)
    return None
