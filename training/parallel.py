"""A function over many items in threads. Pillow decodes outside Python's lock, so all cores work."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from training.progress import bar

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 1024  # items handed to the threads at once: all of 500,000 would cost some 500 MB of waiting futures
PATIENCE = 1.0  # seconds of work before a bar appears


def in_threads(function: Callable[[T], R], items: Sequence[T], title: str) -> list[R]:
    """`function` of every item, in order; the first exception ends it. `title`: of the bar if it takes long."""
    started = time.monotonic()
    results: list[R] = []
    tick: Callable[[], object] | None = None
    with ThreadPoolExecutor(os.cpu_count()) as pool, ExitStack() as shown:
        for start in range(0, len(items), CHUNK):
            for result in pool.map(function, items[start : start + CHUNK]):
                results.append(result)
                if tick is not None:
                    tick()
                elif time.monotonic() - started > PATIENCE:
                    tick = shown.enter_context(bar(title, len(items)))
                    for _ in results:
                        tick()
    return results
