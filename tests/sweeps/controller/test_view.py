"""What a person sees of a sweep."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.controller.view import View, show_end
from sweeps.launchers.launcher import Handle


@dataclass
class OneSlot:
    number: int = 0
    name: str = "cpu [/red]"


@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_no_markup_and_act_on_nothing(tmp_path: Path, terminal: bool) -> None:
    folder = tmp_path / "[bold]a\u202eb-0123456789" / "seed=0"
    folder.mkdir(parents=True)
    (folder / "run.log").write_text("epoch 1 \x1b[2J [/bold]\n")
    view, out = View(1), io.StringIO()
    view.terminal, view.console = terminal, Console(file=out, width=120)
    view.begun(Handle(0, folder, OneSlot()))
    view.console.print(view._picture())
    view.ended(0, folder, "failed", "exception: \x1b[31m\u202e [/red]")
    show_end(view.console, tmp_path / "none", [folder])
    shown = out.getvalue()
    assert "[bold]a\\u202eb-0123456789/seed=0" in shown and "cpu [/red]" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
