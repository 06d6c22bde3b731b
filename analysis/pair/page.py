"""A pair of runs as one self-contained page, with curves and the pictures on which the two disagree."""

import json
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from analysis.pair.formats import PARTS, figures
from analysis.pair.pair import Pair, Run, said
from analysis.pair.test_images import BOTH_WRONG, ONLY_A, ONLY_B, Disagreement
from analysis.read.rerun import made_in
from analysis.show.page.build import mistakes, shown_text
from analysis.show.page.curves import Configuration, curves, epochs_of
from analysis.show.page.provenance import thumbnail

MOST_PICTURES = 60  # of a kind of disagreement
PIXELS = 128  # of a picture


def build_page(pair: Pair) -> str:
    """The page as text."""
    loader = ChoiceLoader([PackageLoader("analysis.pair", "."), PackageLoader("analysis.show", "page")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=shown_text)
    histories = [(run, epochs_of(run.folder)) for run in pair.runs]
    drawn = [
        Configuration(number, run.letter, [history])
        for number, (run, history) in enumerate(histories)
        if history is not None
    ]
    plots = [{"title": title, "figure": json.loads(str(figure.to_json()))} for title, figure in curves(drawn) if drawn]
    parts = [(title, [one for one in pair.differences if one.part == part]) for part, title in PARTS.items()]
    assets = Path(__file__).parents[1] / "show" / "page"
    return environment.get_template("pair.html").render(
        runs=pair.runs,
        sentences=said(pair),
        figures=list(figures(pair)),
        parts=[(title, found) for title, found in parts if found],
        legend=drawn,
        plots=plots,
        images=pair.images,
        groups=_groups(pair),
        plotly=get_plotlyjs(),
        css=(assets / "page.css").read_text(),
        script=(assets / "plots.js").read_text() + "draw();\n",
    )


def _groups(pair: Pair) -> list[dict[str, Any]]:
    """The disagreements of each kind: title, number, the first of them with their pictures, and how many have none."""
    if pair.images is None:
        return []
    kept = {str(one["id"]): str(one["jpeg"]) for run in pair.runs for one in mistakes(run.folder)}
    roots = [root for run in pair.runs if (root := root_of(run)) is not None]
    groups = []
    for kind in (ONLY_A, ONLY_B, BOTH_WRONG):
        if found := pair.images.of_kind(kind):
            shown = [(one, _picture(one, roots, kept)) for one in found[:MOST_PICTURES]]
            without = sum(not jpeg for _, jpeg in shown)
            groups.append({"title": kind, "count": len(found), "shown": shown, "without": without})
    return groups


def _picture(image: Disagreement, roots: list[Path], kept: dict[str, str]) -> str:
    """A JPEG in base64, from the data where it still lies, else from what a run kept of its mistakes; or nothing."""
    found = next((jpeg for root in roots if (jpeg := thumbnail(root, image.name, PIXELS))), "")
    return found or kept.get(image.name, "")


def root_of(run: Run) -> Path | None:
    """The folder that the names of a run's images are relative to, where it still lies there."""
    data = (run.record.config or {}).get("data") or {}
    named, csv = data.get("root"), data.get("csv")
    if not isinstance(named, str):
        named = str(Path(csv).parent) if isinstance(csv, str) else None
    if named is None:
        return None
    places = [Path(named), (made_in(run.folder) or Path()) / named]
    return next((place for place in places if place.is_dir()), None)
