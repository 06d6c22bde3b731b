"""A ReportModel -> one HTML file that needs no network: jinja2 escapes what it writes, Plotly draws."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.model.model import ReportModel
from analysis.model.table import distinct
from analysis.model.wording import unit
from analysis.show.cells import common_line, number_columns, readable, shared_columns, texts
from analysis.show.page import figures
from analysis.show.page.curves import configurations, curves
from analysis.show.page.data_card import data_cards
from analysis.show.page.forest import forest
from analysis.show.page.hints import HINTS
from analysis.show.page.histograms import histograms, panels
from analysis.show.page.provenance import provenance
from analysis.show.page.reliability import reliability_diagram
from training.console.table import visible
from training.run_folder import MISTAKES, read_json

COMPARED = 6  # runs whose histograms are in the page


def build_page(model: ReportModel, heading: str, notes: list[str]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("analysis.show", "page"), autoescape=True, undefined=StrictUndefined, finalize=shown_text
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the best run first
    plots: list[dict[str, Any]] = []

    def add(section: str, title: str, figure: go.Figure | None) -> None:
        if figure is not None:
            plots.append({"section": section, "title": title, "figure": json.loads(figure.to_json())})

    add("all rows", "Test accuracy of every row", forest(model))
    add("val and test", "Val against test accuracy", figures.val_against_test(model))
    drawn = configurations(model)
    for title, figure in curves(drawn) if drawn else ():
        add("curves", title, figure)
    add("settings", "Settings and what came out", figures.parallel(model))
    for study in model.studies:
        for title, figure in figures.search(study) if study.trials else ():
            add("search", f"{study.study.study_name}: {title}", figure)
    add("calibration", "How often guesses are right, by confidence: the reference row", reliability_diagram(model))
    shown = figures.confusion(model)
    add("mistakes", "Confusion matrix of the reference row's first run", shown[0] if shown else None)
    return environment.get_template("page.html").render(
        heading=heading,
        notes=[*notes, *model.sentences],
        commands=model.commands,
        effects=[*model.effects, *model.interaction],
        effects_unit=unit(model.judging.metric),
        cautions=model.cautions,
        table=table(model.rows),
        plots=plots,
        sections=list(dict.fromkeys(plot["section"] for plot in plots)),
        legend=drawn,
        mistakes=mistakes(shown[1]) if shown else [],
        histograms=panels(found) if (found := chosen(model)) else {},
        cards=(cards := data_cards(model)),
        provenance=provenance(model, not any(card["sheet"] for card in cards)),
        hints=HINTS,
        plotly=get_plotlyjs(),
        css=(Path(__file__).parent / "page.css").read_text(),
        script="".join((Path(__file__).parent / name).read_text() for name in ("plots.js", "page.js")),
    )


def shown_text(value: Any) -> Any:
    """What the template writes: text without characters that turn its order; what is our own page stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def table(rows: pd.DataFrame) -> dict[str, Any]:
    """Heads, whether they hold numbers, and cells: what is shown and what is sorted by; and what all rows share."""
    eyes = readable(rows)
    eyes = eyes.drop(columns=[name for name in eyes.columns if eyes[name].isna().all()])
    shown = texts(eyes)
    common = {name: shown.pop(name)[0] for name in shared_columns(shown, eyes)}
    sorted_by = {name: {"test_95": "test_low", "id": "identity"}.get(name, name) for name in shown}
    keys = {name: rows[by].tolist() for name, by in sorted_by.items()}
    lines = []
    for number in range(len(rows)):
        lines.append([(shown[name][number], sort_key(keys[name][number])) for name in shown])
    right = number_columns(eyes)
    heads = [(name, name in right) for name in shown]
    return {"heads": heads, "rows": lines, "marks": rows["mark"].fillna("").tolist(), "common": common_line(common)}


def sort_key(value: Any) -> str:
    """What page.js sorts by: a number in full where it is one."""
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return ""
    return repr(float(value)) if isinstance(value, int | float) else str(value)


def mistakes(folder: Path) -> list[dict[str, Any]]:
    """The most confidently wrong test images of a run."""
    found = read_json(folder / MISTAKES).get("images")
    keys = {"id", "label", "guess", "probability", "jpeg"}
    good = [one for one in found if isinstance(one, dict) and keys <= set(one)] if isinstance(found, list) else []
    return [one for one in good if isinstance(one["probability"], int | float)]


def chosen(model: ReportModel) -> dict[str, dict[str, Any]]:
    """Histograms of a few runs by label: the best one, the best with each other source of weights, the next best."""
    single = distinct(model.runs)
    weights = dict(zip(single["folder"], single["weights_resolved"].fillna("?"), strict=True))
    runs = [(label, folder) for label, folder in figures.runs_in_order(model) if weights.get(str(folder))]
    first: dict[str, tuple[str, Path]] = {}
    for label, folder in runs:
        first.setdefault(weights[str(folder)], (label, folder))
    found: dict[str, dict[str, Any]] = {}
    for label, folder in dict.fromkeys([*first.values(), *runs]):
        if len(found) == COMPARED:
            break
        if any(folder.glob("events.out.tfevents.*")) and (of_run := histograms(folder)):
            found[figures.plain(label)] = of_run
    return found
