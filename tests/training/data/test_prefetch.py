"""Batches that are made ready ahead: the same ones, a few at a time."""

from collections.abc import Iterator

import pytest

from training.data.prefetch import prefetch


def test_the_same_items_and_no_more_than_asked_for_are_held() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            made.append(number)
            yield number

    stream = prefetch(items(), depth=3)
    for number in range(10):
        assert next(stream) == number
        assert len(made) <= number + 4
    assert list(stream) == list(range(10, 20))


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("broken")

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(OSError, match="broken"):
        next(stream)
