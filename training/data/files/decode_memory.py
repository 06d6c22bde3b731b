"""How many bytes of images are decoded at once, in all threads of this process: data.memory_gb at most.

An image that needs more than that alone is decoded while no other is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_state = threading.Condition()
_limit = 4e9  # bytes
_taken = 0.0
_mine = threading.local()  # bytes that this thread holds, while it is in `held`


def set_limit(gigabytes: float) -> None:
    """From now on."""
    global _limit
    with _state:
        _limit = gigabytes * 1e9
        _state.notify_all()


@contextmanager
def held() -> Iterator[None]:
    """What `take` takes inside is held until the end: around decoding and all that is done with the pixels."""
    global _taken
    if getattr(_mine, "bytes", None) is not None:  # inside another one, which gives back
        yield
        return
    _mine.bytes = 0.0
    try:
        yield
    finally:
        with _state:
            _taken -= _mine.bytes
            _mine.bytes = None
            _state.notify_all()


def take(size: float) -> None:
    """Wait until `size` bytes are free. A second image of the same thread doesn't wait: it could do so for ever."""
    global _taken
    if getattr(_mine, "bytes", None) is None:
        return
    with _state:
        if not _mine.bytes:
            _state.wait_for(lambda: _taken == 0 or _taken + size <= _limit)
        _mine.bytes += size
        _taken += size
