"""Runs -> everything that a report says about them: the judged table, sentences, what matters, cautions."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from analysis.model import factors
from analysis.model.cautions import cautions
from analysis.model.evidence import evidence
from analysis.model.sentences import Table, found_rates, labels, sentences
from analysis.model.study import Found, edges, importance_line, progress, studies
from analysis.model.table import add_verdicts, distinct, keys, mark_pareto, merge, sort, telling
from analysis.read.records import ReportError, nearest, objectives, sweeps_of
from analysis.statistics import inference
from analysis.statistics.judge import Judgement, Row, judge

MOST_EFFECTS = 15  # lines; more would not be read


@dataclass
class Account:
    """Of some runs. `rows`: one an identity, sorted, with what was judged; the rest are lines of text. Soups (averages
    of other runs' weights, chosen on val after these) are in `rows`, `labels` and `soups`, and nowhere else: they are
    no configuration that was tried, and nothing that is said of the others may change by them."""

    runs: pd.DataFrame
    rows: pd.DataFrame
    evidence: dict[str, Row]
    judged: Judgement
    settings: pd.DataFrame  # what tells the rows apart, and labels: the same in a few words
    labels: dict[str, str]
    n_val: int  # val images
    soups: pd.DataFrame  # of `rows`
    studies: list[Found] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def account(runs: pd.DataFrame, by: str = "val_acc", reference: str | None = None, tell_apart: bool = True) -> Account:
    """Judge `runs`, sorted `by` a column. `reference`: an identity, or a pandas expression that is true for one row;
    None: the best by val. `tell_apart`: with columns for what else differs. Raises ReportError."""
    rows = merge(runs, extra := telling(runs))
    trained = trained_ones(runs)
    soups = rows.index[~rows.index.isin(keys(trained))]
    settings = factors.settings(rows.drop(index=soups), factors.default_weights(runs), extra)
    if len(wanted := objectives(runs)) > 1:
        rows = mark_pareto(rows, distinct(trained), wanted)
    everything, found = evidence(runs), evidence(trained)
    key = None if reference is None else find_row(rows, reference, found)
    n_val = int(runs["n_val"].max()) if runs["n_val"].notna().any() else 100
    judged = judge(found, key, step_val=100 / max(n_val, 1))
    rows = sort(add_verdicts(rows, with_soups(judged, everything, n_val), everything), by)
    if not tell_apart:
        rows = rows.drop(columns=extra)
    made = rows[rows.index.isin(soups)]
    named = labels(settings) | dict(zip(made.index.astype(str), called(made), strict=True))
    return Account(trained, rows, found, judged, settings, named, n_val, made)


def trained_ones(runs: pd.DataFrame) -> pd.DataFrame:
    """Without the soups, unless there is nothing else."""
    plain = runs[runs["soup"].isna()] if "soup" in runs else runs
    return runs if plain.empty else plain


def with_soups(judged: Judgement, everything: dict[str, Row], n_val: int) -> Judgement:
    """`judged`, and beside it verdicts on the soups in `everything`, against the same reference."""
    if judged.verdicts.keys() == everything.keys() or judged.reference is None:
        return judged
    more = judge(everything, judged.reference, step_val=100 / max(n_val, 1))
    return replace(judged, verdicts=more.verdicts | judged.verdicts)


def tell(what: Account, interaction: Sequence[str] | None = None) -> None:
    """Add all sentences. `interaction`: two factors. Raises ReportError where there are none of these names."""
    runs, judged = what.runs, what.judged
    done = distinct(runs)
    done = done[done["status"] == "done"]
    gains = done["_epoch_gain"].dropna().tolist() if "_epoch_gain" in done else []
    what.sentences = sentences(Table(what.evidence, judged, what.labels, what.n_val, gains))
    what.sentences += found_rates(distinct(runs), what.labels)
    what.cautions = [*cautions(runs, judged), *chosen_on_val(what.soups)]
    found = factors.effects(what.settings, what.evidence, judged)
    corrected = inference.holm([effect.p for effect in found])
    ranked = sorted(zip(found, corrected, strict=True), key=lambda one: one[0].p)[:MOST_EFFECTS]
    what.effects = [f"{effect}, p {p:.2g}" for effect, p in zip(found, corrected, strict=True) if (effect, p) in ranked]
    if len(found) > MOST_EFFECTS:
        what.effects.append(f"({len(found) - MOST_EFFECTS} more with higher p)")
    what.studies = studies(sweeps_of(runs["folder"]))
    for one in what.studies:
        what.sentences += [text for text in (progress(one), importance_line(one)) if text]
        what.cautions += edges(one)
    if interaction:
        what.effects += interactions(what, *interaction)


def called(soups: pd.DataFrame) -> list[str]:
    """What soups are called: `resnet18 soup of 3`."""
    pairs = zip(soups["model"], soups["weights_resolved"], strict=True)
    return [" ".join(str(one) for one in pair if isinstance(one, str)) for pair in pairs]


def chosen_on_val(soups: pd.DataFrame) -> list[str]:
    """What is to be known of soups."""
    if soups.empty:
        return []
    names = ", ".join(called(soups))
    return [
        f"{names}: averaged weights of other runs, chosen on the same val images, so val accuracy is flattered; the "
        "settings shown are those of the best run in it, and no other sentence here is about it"
    ]


def interactions(what: Account, factor: str, by: str) -> list[str]:
    """Whether the effect of `factor` changes with `by`."""
    table = what.settings
    for name in (factor, by):
        if name not in table:
            raise ReportError(
                f"--interaction {name}: not a setting that differs between the rows{nearest(name, table.columns)}; "
                f"there are {', '.join(table.columns) or 'none'}"
            )
    sizes = what.runs.groupby("model")["params"].max().dropna().to_dict() if by == "model" else {}
    order = {str(name): float(size) for name, size in sizes.items()} or published_order(table)
    found = factors.interaction(table, what.evidence, what.judged, factor, by, order)
    floor = what.judged.pooled.sd if what.judged.pooled else 0.0
    return factors.tell(found, factor, by, floor)


def published_order(table: pd.DataFrame) -> dict[str, float]:
    """Models by the number in their names where nothing says how large they are: resnet18, resnet34, ..."""
    if "model" not in table:
        return {}
    numbers = {str(name): "".join(filter(str.isdigit, str(name))) for name in table["model"].unique()}
    return {name: float(digits) for name, digits in numbers.items() if digits}


def find_row(rows: pd.DataFrame, asked: str, evidence: dict[str, Row]) -> str:
    """The key of the row that --reference asks for. Raises ReportError unless it is one, with a result."""
    found = [str(key) for key in rows.index if len(asked) >= 4 and str(key).startswith(asked)]
    if not found:
        try:
            answer = rows.eval(asked, engine="python")
        except Exception as error:  # pandas and the user's expression may raise anything
            raise ReportError(
                f"--reference {asked!r}: neither an identity nor an expression: {' '.join(str(error).split())}"
            ) from None
        if not isinstance(answer, pd.Series) or not pd.api.types.is_bool_dtype(answer.dtype):
            raise ReportError(f"--reference {asked!r}: expected e.g. \"model == 'resnet18' and lr == 1e-3\"")
        found = [str(key) for key in rows.index[answer.fillna(False).astype(bool)]]
    if len(found) != 1:
        raise ReportError(f"--reference {asked!r}: {len(found)} rows are that, expected one")
    if found[0] not in evidence:
        raise ReportError(f"--reference {asked!r}: that row has no test accuracy, or is a soup")
    return found[0]
