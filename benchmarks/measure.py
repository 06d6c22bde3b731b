"""What the benchmarks share: repeats, and a table of medians with least and largest."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def python(*arguments: str, check: bool = True, show: bool = False) -> float:
    """Seconds that `python ARGUMENTS` takes, in the repository's folder; `show`: what it says. Raises
    CalledProcessError."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr[-2000:])
    if show:
        print(done.stdout)
    return time.perf_counter() - started


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """median (least to largest)"""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def show_markdown(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table as Markdown."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    print(f"\n{title}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines))


def show(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)
