"""A function over many items in threads. Pillow decodes outside Python's lock, so all cores work."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TypeVar

from training.console.progress import bar
from training.device import resolve_threads

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 2048  # items handed to the threads at once: all of 500,000 would cost some 500 MB of waiting futures
TURN = 32  # items that a thread takes at once, at most: a future an item costs more than to look at a small image
PATIENCE = 1.0  # seconds of work before a bar appears


def in_threads(function: Callable[[T], R], items: Sequence[T], title: str) -> list[R]:
    """`function` of every item, in order; the first exception ends it. `title`: of the bar if it takes long."""
    started = time.monotonic()
    results: list[R] = []
    advance: Callable[..., object] | None = None

    def turn(part: Sequence[T]) -> list[R]:
        return [function(item) for item in part]

    threads = resolve_threads("auto")
    size = max(1, min(TURN, len(items) // (4 * threads)))
    with ThreadPoolExecutor(threads) as pool, ExitStack() as shown:
        for start in range(0, len(items), CHUNK):
            chunk = items[start : start + CHUNK]
            for part in pool.map(turn, [chunk[first : first + size] for first in range(0, len(chunk), size)]):
                results += part
                if advance is not None:
                    advance(len(part))
                elif time.monotonic() - started > PATIENCE:
                    advance = shown.enter_context(bar(title, len(items)))
                    advance(len(results))
    return results
