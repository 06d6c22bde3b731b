"""Items made ready in a thread, while the caller is busy with those before them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int = 3) -> Iterator[T]:
    """The same items; up to `depth` of them are got ready before they are asked for, and no more are held. What
    `items` raises is raised where its item would have come."""
    done = object()
    with ThreadPoolExecutor(1) as pool:  # one thread: a generator can't be entered twice
        waiting = deque(pool.submit(next, items, done) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not done:
                waiting.append(pool.submit(next, items, done))
                yield item  # type: ignore[misc]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
