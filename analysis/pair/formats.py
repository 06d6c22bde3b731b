"""A pair of runs as text, CSV and JSON."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.console import Console

from analysis.pair.pair import FIGURES, Pair, said
from analysis.pair.test_images import BOTH_WRONG, ONLY_A, ONLY_B, Disagreement
from analysis.show.csv import inert
from training.console.table import print_lines, print_table, visible

MOST_PACKAGES, MOST_IMAGES = 12, 10  # that the text names
PARTS = {
    "config": "Config",
    "resolved": "What the config stood for",
    "data": "Data",
    "code": "Code",
    "machine": "Machine",
    "packages": "Packages",
}


def text(pair: Pair) -> str:
    """For a terminal."""
    out = io.StringIO()
    console = Console(file=out)
    print_lines(console, [*(f"{run.letter}: {visible(str(run.folder))}" for run in pair.runs), ""])
    heads = ("", "A", "B")
    print_table(console, heads, [[name, *cells] for name, cells in figures(pair)], words=("",))
    for part, title in PARTS.items():
        rows = [[visible(cell) for cell in one[1:]] for one in pair.differences if one.part == part]
        most = MOST_PACKAGES if part == "packages" else len(rows)
        if rows:
            print_lines(console, [""])
            print_table(console, (title, "A", "B"), rows[:most], words=(title, "A", "B"))
        if len(rows) > most:
            print_lines(console, [f"and {len(rows) - most} more packages (--format csv has all)"])
    if not pair.differences:
        print_lines(console, ["", "Nothing that is recorded of config, data, code and machine differs."])
    print_lines(console, ["", *map(visible, said(pair))])
    for kind in (ONLY_A, ONLY_B, BOTH_WRONG):
        found = pair.images.of_kind(kind) if pair.images else []
        if found:
            print_lines(console, ["", *_named(kind, found)])
    return out.getvalue()


def figures(pair: Pair) -> Iterator[tuple[str, list[str]]]:
    """Results of both, as text."""
    for name in FIGURES:
        values = [run.figure(name) for run in pair.runs]
        if any(value is not None for value in values):
            yield name, ["" if one is None else _shown(name, one) for one in values]


def _shown(name: str, value: float) -> str:
    if name in ("best_epoch", "epochs_run", "params"):
        return f"{value:,.0f}" if name == "params" else f"{value:.0f}"
    return f"{value:.4f}" if name.endswith("_loss") else f"{value:.2f}"


def _named(kind: str, found: list[Disagreement]) -> Iterator[str]:
    more = f", the first {MOST_IMAGES} (--format csv has all, --html pictures)" if len(found) > MOST_IMAGES else ""
    yield f"{len(found)} test image{'s' * (len(found) > 1)}: {kind}{more}"
    for one in found[:MOST_IMAGES]:
        guesses = [f"{guess} {100 * share:.0f} %" for guess, share in zip(one.guesses, one.confidences, strict=True)]
        yield visible(f"  {one.name}: is {one.label}; A says {guesses[0]}, B {guesses[1]}")


def rows(pair: Pair) -> Iterator[dict[str, Any]]:
    """A row for each thing that differs, and each test image on which they disagree."""

    def row(part: str, name: str, a: Any, b: Any, note: Any = None) -> dict[str, Any]:
        return {"part": part, "name": name, "a": a, "b": b, "note": note}

    yield row("run", "folder", str(pair.a.folder), str(pair.b.folder))
    yield from (row("result", name, pair.a.figure(name), pair.b.figure(name)) for name in FIGURES)
    yield from (row(one.part, one.name, one.first, one.second) for one in pair.differences)
    yield from (row("curve", one.column, one.first, one.second, f"epoch {one.epoch}") for one in pair.partings)
    if pair.images is None:
        yield row("test images", "not compared", None, None, pair.no_images)
        return
    found = pair.images
    yield row("test images", "right alone", found.only_a, found.only_b)
    yield row("test images", "both right", found.both_right, found.both_right)
    yield row("test images", "both wrong", found.both_wrong, found.both_wrong)
    yield row("test images", "McNemar p", found.p, found.p)
    for one in found.disagreements:
        guesses = [f"{guess} ({share:.4f})" for guess, share in zip(one.guesses, one.confidences, strict=True)]
        yield row(one.kind, one.name, guesses[0], guesses[1], f"is {one.label}")


def csv_text(pair: Pair) -> str:
    """Columns part, name, a, b, note; cells that a spreadsheet would take for formulas have an apostrophe."""
    return str(pd.DataFrame(list(rows(pair)), dtype=object).map(inert, na_action="ignore").to_csv(index=False))


def json_text(pair: Pair) -> str:
    """An object with runs, differences, curves, test images and the sentences."""
    images: dict[str, Any] = {"not_compared": pair.no_images} if pair.images is None else asdict(pair.images)
    content = {
        **{
            run.letter.lower(): {
                "folder": str(run.folder),
                "identity": run.record.identity,
                "seed": run.record.seed,
                "status": run.record.status,
                **{name: run.figure(name) for name in FIGURES},
            }
            for run in pair.runs
        },
        "differences": [
            {"part": one.part, "name": one.name, "a": one.first, "b": one.second} for one in pair.differences
        ],
        "curves": [
            {"column": one.column, "epoch": one.epoch, "a": one.first, "b": one.second, "largest": _finite(one.largest)}
            for one in pair.partings
        ],
        "test_images": images,
        "sentences": said(pair),
    }
    return visible(json.dumps(content, indent=2, ensure_ascii=False)) + "\n"


def _finite(value: float) -> float | None:
    return value if value < float("inf") else None


FORMATS = {"text": text, "csv": csv_text, "json": json_text}
