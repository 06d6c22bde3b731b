"""Work in threads, and its bar."""

import io
import sys

import pytest
from pictures import fresh as fresh

from training.data import parallel


def test_threads_keep_the_order_and_show_a_bar_on_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = {}
    monkeypatch.setattr(parallel, "PATIENCE", 0)
    monkeypatch.setattr(parallel, "CHUNK", 7)
    for kind in (Terminal, io.StringIO):
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        assert parallel.in_threads(lambda number: number * 2, range(50), "doubling") == list(range(0, 100, 2))
        shown[kind] = stream.getvalue()
    assert "doubling" in shown[Terminal] and "50/50" in shown[Terminal] and shown[io.StringIO] == ""
