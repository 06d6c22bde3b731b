"""Runs -> the report model: everything that a report says about them, before it has a format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.model import factors
from analysis.model.calibration import add_calibration
from analysis.model.cautions import cautions
from analysis.model.chances import add_chances, headline, row_chances
from analysis.model.collapses import add_collapsed, collapse_lines, collapse_texts, outlying_lines
from analysis.model.image_sets import one_val_set
from analysis.model.judging import Judging, add_metric, metric_sentences, monitor_caution, results_by_metric
from analysis.model.row_results import image_cautions, judged_runs, results_of_rows
from analysis.model.sentences import ComparedRows, best_run, found_rates, labels, sentences
from analysis.model.soups import chosen_on_val, soup_labels, without_soups
from analysis.model.study import edges, importance_line, progress
from analysis.model.table import (
    add_comparisons,
    add_devices,
    distinct,
    distinguishing_columns,
    mark_pareto,
    merge_replicates,
    row_keys,
    sort_rows,
)
from analysis.read.query import QueryError, matching
from analysis.read.records import ReportError, nearest, objectives, sweeps_of
from analysis.read.study import StudyResult, studies
from analysis.statistics import inference
from analysis.statistics.best import Chance
from analysis.statistics.comparisons import Comparisons, compare_rows
from analysis.statistics.metric_names import ACCURACY
from analysis.statistics.results import RowResults

PER_CENT = 100.0
MOST_EFFECTS = 15  # lines; more would not be read


@dataclass(frozen=True)
class ReportModel:
    """Of some runs. `rows`: one an identity, sorted, with the comparisons; the rest are lines of text. Soups (averages
    of other runs' weights, chosen on val after these) are in `rows`, `labels` and `soups`, and nowhere else: they are
    no configuration that was tried, and nothing that is said of the others may change by them."""

    runs: pd.DataFrame
    rows: pd.DataFrame
    results: Mapping[str, RowResults]
    comparisons: Comparisons
    settings: pd.DataFrame  # what tells the rows apart, and labels: the same in a few words
    labels: Mapping[str, str]
    n_val: int  # val images
    soups: pd.DataFrame  # of `rows`
    chances: Mapping[str, Chance]  # of being the best by accuracy; none by another metric, or if nothing was run twice
    studies: Sequence[StudyResult] = ()
    sentences: Sequence[str] = ()
    effects: Sequence[str] = ()
    interaction: Sequence[str] = ()  # of two factors, where asked for
    cautions: Sequence[str] = ()
    judging: Judging = field(default_factory=Judging)  # `results` and `comparisons` are by its metric, in points
    left_out: Sequence[str] = ()  # runs that can't be judged by it
    commands: Sequence[str] = ()  # to go on with: lines that must not be broken, so that they can be copied


def build(
    runs: pd.DataFrame, sort_by: str = "val_acc", reference: str | None = None, judging: Judging | None = None
) -> ReportModel:
    """The model of a report on `runs`, without its texts. `reference`: an identity (or its beginning), or a query that
    is true for one row; None: the best by val. `judging`: by what rows are compared; None: accuracy. Raises
    ReportError."""
    judging = judging or Judging()
    trained = without_soups(runs)
    extra = distinguishing_columns(trained if len(trained) else runs)
    rows = merge_replicates(runs, extra, judged_runs(runs).index)
    soup_keys = rows.index[~rows.index.isin(row_keys(trained))]
    settings = factors.settings(rows.drop(index=soup_keys), factors.default_weights(runs), extra)
    if len(wanted := objectives(runs)) > 1:
        rows = mark_pareto(rows, distinct(trained), wanted)
    all_results, left_out = results_by_metric(runs, judging)
    results = {key: row for key, row in all_results.items() if key not in set(soup_keys)}
    reference_key = None if reference is None else find_row(rows, reference, results)
    n_val = int(runs["n_val"].max()) if runs["n_val"].notna().any() else 100
    pick = one_val_set(trained, results)
    comparisons = compare_rows(results, reference_key, 100 / max(n_val, 1), pick=pick, criteria=judging.criteria)
    rows, shown = add_metric(rows, all_results, _with_soups(comparisons, all_results, n_val), judging.metric)
    rows = add_comparisons(rows, shown, results_of_rows(runs))
    if judging.metric.scale == PER_CENT:  # no difference is larger
        rows[["diff_low", "diff_high"]] = rows[["diff_low", "diff_high"]].clip(-PER_CENT, PER_CENT)
    chances = row_chances(comparisons, results) if judging.metric is ACCURACY else {}
    rows = add_collapsed(
        add_chances(rows, chances, results if judging.metric is ACCURACY else {}, comparisons.reference), trained
    )
    if judging.calibration:
        rows, uncalibrated = add_calibration(rows, runs)
        left_out = list(dict.fromkeys([*left_out, *uncalibrated]))
    rows = sort_rows(add_devices(rows, runs) if judging.device else rows, sort_by)
    soups = rows[rows.index.isin(soup_keys)]
    names = labels(settings) | dict(zip(soups.index.astype(str), soup_labels(soups), strict=True))
    model = ReportModel(trained, rows, results, comparisons, settings, names, n_val, soups, chances)
    return replace(model, judging=judging, left_out=left_out)


def with_texts(model: ReportModel, interaction: Sequence[str] | None = None) -> ReportModel:
    """`model` with all its sentences. `interaction`: two factors. Raises ReportError where there are none of these
    names."""
    runs = distinct(model.runs)
    done = runs[runs["status"] == "done"]
    gains = done["_epoch_gain"].dropna().tolist() if "_epoch_gain" in done else []
    compared = ComparedRows(model.results, model.comparisons, model.labels, model.n_val, gains)
    collapsed = collapse_texts(model.runs)
    names = {key: f"{name} [{collapsed[key]}]" if key in collapsed else name for key, name in model.labels.items()}
    best = headline(model.chances, names, model.comparisons.criteria.matters)
    by_accuracy = model.judging.metric is ACCURACY
    said = sentences(compared) if by_accuracy else metric_sentences(model.judging, model.comparisons, model.left_out)
    said = [*([best] if best else []), *said]
    said += [*([] if not by_accuracy else model.left_out), *found_rates(runs, model.labels)]
    about_runs = [*collapse_lines(model.runs, model.comparisons, model.labels), *outlying_lines(runs, model.labels)]
    about_images = image_cautions(model.runs, model.comparisons)
    warned = [*cautions(model.runs, model.comparisons), *about_runs, *about_images]
    warned += [*monitor_caution(runs, model.judging.metric), *chosen_on_val(model.soups)]
    found = studies(sweeps_of(model.runs["folder"]))
    for study in found:
        said += [text for text in (progress(study), importance_line(study)) if text]
        warned += edges(study)
    return replace(
        model,
        studies=found,
        sentences=said,
        effects=effect_lines(model),
        interaction=interaction_lines(model, *interaction) if interaction else [],
        cautions=warned,
        commands=best_run(done, collapsed),
    )


def effect_lines(model: ReportModel) -> list[str]:
    """The effects of the settings, of which the MOST_EFFECTS with the lowest p; p is corrected over all of them."""
    found = factors.factor_effects(model.settings, model.results, model.comparisons.noise, model.judging.metric)
    corrected = inference.holm([one.effect.p for one in found])
    ranked = sorted(zip(found, corrected, strict=True), key=lambda pair: pair[0].effect.p)[:MOST_EFFECTS]
    lines = [f"{one}, p {p:.2g}" for one, p in zip(found, corrected, strict=True) if (one, p) in ranked]
    if len(found) > MOST_EFFECTS:
        lines.append(f"({len(found) - MOST_EFFECTS} more with higher p, for which p is corrected too)")
    return lines


def interaction_lines(model: ReportModel, factor: str, by: str) -> list[str]:
    """Whether the effect of `factor` changes with `by`. Raises ReportError where the rows don't differ in these."""
    settings, noise = model.settings, model.comparisons.noise
    for name in (factor, by):
        differing = [str(one) for one in settings.columns if settings[one].astype("str").nunique() > 1]
        if name not in differing:
            raise ReportError(
                f"--interaction {name}: not a setting that differs between the rows{nearest(name, differing)}; "
                f"there are {', '.join(differing) or 'none'}"
            )
    sizes = model.runs.groupby("model")["params"].max().dropna().to_dict() if by == "model" else {}
    order = {str(name): float(size) for name, size in sizes.items()}
    if by == "model" and not order:
        order = _order_by_name(settings)
    found = factors.factor_interaction(settings, model.results, noise, factor, by, order, model.judging.metric)
    return factors.interaction_lines(found, factor, by, noise.test.sd_points if noise.test else 0.0)


def find_row(rows: pd.DataFrame, wanted: str, results: Mapping[str, RowResults]) -> str:
    """The key of the row that --reference names. Raises ReportError unless it is one, with a result."""
    found = [str(key) for key in rows.index if len(wanted) >= 4 and str(key).startswith(wanted)]
    if not found:
        try:
            found = [str(key) for key in rows.index[matching(rows, wanted)]]
        except QueryError as error:
            raise ReportError(f"--reference {wanted!r}: neither an identity nor a query: {error}") from None
    if len(found) != 1:
        raise ReportError(f"--reference {wanted!r}: {len(found)} rows are that, expected one")
    if found[0] not in results:
        raise ReportError(f"--reference {wanted!r}: that row has no test accuracy, or is a soup")
    return found[0]


def _with_soups(comparisons: Comparisons, all_results: Mapping[str, RowResults], n_val: int) -> Comparisons:
    """`comparisons`, and beside them those of the soups in `all_results` with the same reference."""
    if comparisons.by_row.keys() == all_results.keys() or comparisons.reference is None:
        return comparisons
    points = 100 / max(n_val, 1)
    more = compare_rows(
        all_results,
        comparisons.reference,
        val_image_points=points,
        named=comparisons.named,
        criteria=comparisons.criteria,
    )
    return replace(comparisons, by_row={**more.by_row, **comparisons.by_row})


def _order_by_name(settings: pd.DataFrame) -> dict[str, float]:
    """Models by the number in their names where nothing says how large they are: resnet18, resnet34, ..."""
    if "model" not in settings:
        return {}
    numbers = {str(name): "".join(filter(str.isdigit, str(name))) for name in settings["model"].unique()}
    return {name: float(digits) for name, digits in numbers.items() if digits}
