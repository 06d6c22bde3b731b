"""Processes of benchmarks/loops.py: two by turns, an epoch each, or several at the same time."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any

from benchmarks.measure import ROOT

Loop = subprocess.Popen[bytes]
Found = dict[str, Any]  # what benchmarks.loops prints


def by_turns(loops: Sequence[Sequence[str]]) -> list[Found]:
    """What benchmarks.loops prints of each of `loops`: one epoch of each in turn, the others stopped."""
    with ExitStack() as stack:
        running, outputs = _started(stack, loops, "by-turns", {})
        while running:
            running.reverse()  # whose turn is first
            for loop in list(running):
                loop.send_signal(signal.SIGCONT)
                if not _stopped(loop):
                    running.remove(loop)
        return _printed(outputs)


def together(loops: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[Found]:
    """The same of loops that train at the same time, each after its first epoch."""
    with ExitStack() as stack:
        running, outputs = _started(stack, loops, "together", environment)
        for loop in running:
            loop.send_signal(signal.SIGCONT)
        for loop in running:
            _stopped(loop)
        return _printed(outputs)


def summed_speed(found: Sequence[Found], epochs: int) -> float:
    """Images/s of loops that trained together: all images, from the first one's beginning to the last one's end."""
    began, ended = min(one["span"][0] for one in found), max(one["span"][1] for one in found)
    return float(sum(one["images"] for one in found) * (epochs - 1) / (ended - began))


def _started(
    stack: ExitStack, loops: Sequence[Sequence[str]], how: str, environment: Mapping[str, str]
) -> tuple[list[Loop], list[IO[str]]]:
    """Those that go on after their first epoch, each started when the one before has come so far."""
    outputs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in loops]  # noqa: SIM115
    running = []
    for words, output in zip(loops, outputs, strict=True):
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.loops", *words, how]
        variables = os.environ | dict(environment)
        loop = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT)
        stack.callback(loop.kill)
        running += [loop] * _stopped(loop)
    return running, outputs


def _stopped(loop: Loop) -> bool:
    """Wait until a loop stops itself, or ends."""
    _, status = os.waitpid(loop.pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return True
    loop.returncode = os.waitstatus_to_exitcode(status)
    return False


def _printed(outputs: Sequence[IO[str]]) -> list[Found]:
    for output in outputs:
        output.seek(0)
    texts = [output.read().strip() for output in outputs]
    try:
        return [json.loads(text.splitlines()[-1]) for text in texts]
    except (IndexError, ValueError):
        sys.exit("\n".join(texts))
