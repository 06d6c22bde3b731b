"""What tells rows apart: the settings that were swept or searched, under the names that they were asked for with.

`augment=standard` sets a dozen keys. Where a run's choices of config groups are known, the choice stands for the keys
that follow from it; a key that was set beside it (augment.flip=0.2) stands for itself.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pandas as pd

from analysis.read.records import FIELDS
from training.config import RunConfig

RESOLVED = ("precision", "memory_format", "data_fingerprint")  # what `auto` stood for, and which images
NO_SETTINGS = ("tracking.", "sweep.")  # config that changes no result
FOLD = "data.fold"  # as the seed, it tells replicates of one row apart
# Keys that a column of the table says already
SAID = {
    *("model._target_", "model.name", "model.weights", "weights.source", "optimizer._target_", "optimizer.lr"),
    *("optimizer.weight_decay", "scheduler._target_", "trainer.batch_size", "trainer.epochs"),
}
FACTOR_OF = {"model": "model", "weights": "weights_resolved", "optimizer": "optimizer", "scheduler": "scheduler"}
NO_GROUPS = ("mark", "claim", "spread", "pareto", "id", "diff", "seeds")  # words in a table that are results
PLAIN_CHOICES = {"none", "default"}  # where all rows have these, there is nothing to say
SHORTEST = 5  # characters of an identity that are shown, more where two begin alike


def extra_columns(runs: pd.DataFrame, keys: "pd.Series[str]", settings: Iterable[str]) -> list[str]:
    """The columns of `runs` that a table has beside `settings` (its own columns of settings): choices of groups, and
    every key of the config in which rows differ, unless it follows from the model, the optimizer, .... `keys`: of the
    row that each run belongs to."""
    firsts = runs.groupby(keys, sort=False).first()
    groups = [name for name in group_columns(runs) if not set(firsts[name].dropna()) <= PLAIN_CHOICES]
    config = [str(name) for name in runs.columns if "." in str(name) and str(name) not in not_settings()]
    config = [name for name in config if not name.startswith(NO_SETTINGS)]
    alike = firsts.groupby([name for name in settings if name != "weights"], dropna=False, sort=False)
    # a key that one of them doesn't have (kwargs) is a difference, a fact that is not known yet is none
    varies = pd.concat([alike[list(RESOLVED)].nunique(), alike[config].nunique(dropna=False)], axis=1).gt(1).any()
    wanted = {str(name) for name in varies.index[varies]}
    named = [name for name in groups if name == "data"]
    if firsts["data_fingerprint"].nunique() > 1 and not follows(firsts, "data_fingerprint", named):
        wanted.add("data_fingerprint")
    different = [name for name in config if name not in SAID and firsts[name].nunique(dropna=False) > 1]
    wanted |= {name for name in different if not follows(firsts, name, _factor(name))}
    return [*groups, *(name for name in (*RESOLVED, *config) if name in wanted)]


def hidden_columns(rows: pd.DataFrame) -> list[str]:
    """The keys among the columns of `rows` that follow from a choice of a group that is a column, too: what a table for
    the eye leaves out. Where experiments differ, the choices that follow from these as well."""
    groups = group_columns(rows)
    whole = [name for name in groups if name not in sections()]  # experiment: it sets keys of all sections
    found = []
    for name in map(str, rows.columns):
        own = name.partition(".")[0]
        if "." in name:
            by = [*whole, *([own] if own in groups else [])]
        else:
            by = whole if name in groups and name not in whole else []
        if by and rows[name].nunique(dropna=False) > 1 and follows(rows, name, by):
            found.append(name)
    return found


def aliased_factors(table: pd.DataFrame) -> list[str]:
    """The columns of settings that follow from the experiment, where experiments differ: epochs, say. They are no
    factors beside it: no two rows differ in one of them alone."""
    whole = [name for name in group_columns(table) if name not in sections()]
    whole = [name for name in whole if table[name].nunique() > 1]
    others = [str(name) for name in table.columns if name not in whole and name != "model"]
    return [name for name in others if whole and follows(table, name, whole)]


def follows(rows: pd.DataFrame, name: str, by: list[str]) -> bool:
    """Whether rows that agree in the columns `by` agree in `name`; False where there is nothing to go by."""
    by = [column for column in by if column in rows]
    if not by:
        return False
    levels: Any = rows.astype({column: object for column in {*by, name}}).groupby(by, dropna=False, sort=False)
    return bool((levels[name].nunique(dropna=False) <= 1).all())


def group_columns(rows: pd.DataFrame) -> list[str]:
    """The columns that hold choices of config groups (analysis/read/choices.py): words, and neither a key of the
    config nor a column that every table has."""
    own = [
        str(name) for name in rows.columns if name not in FIELDS and not str(name).startswith(("_", "val_", "test_"))
    ]
    words = [name for name in own if "." not in name and name not in NO_GROUPS]
    return [name for name in words if not pd.api.types.is_numeric_dtype(rows[name].dtype)]


def short_identities(identities: Iterable[Any]) -> list[str | None]:
    """The first characters of each identity, as few as tell them apart."""
    known = [one if isinstance(one, str) and one else None for one in identities]
    different = {one for one in known if one is not None}
    length = SHORTEST
    while len({one[:length] for one in different}) < len(different):
        length += 1
    return [one and one[:length] for one in known]


@cache
def sections() -> frozenset[str]:
    """The sections of a config: model, data, trainer, ..."""
    return frozenset(entry.name for entry in dataclasses.fields(RunConfig))


@cache
def not_settings() -> frozenset[str]:
    """The keys of a config that don't enter the identity: paths, threads, devices, ..."""
    return frozenset(_outside(RunConfig(), "")) | {FOLD}


def _outside(node: Any, prefix: str) -> Iterator[str]:
    for entry in dataclasses.fields(node):
        if not entry.metadata.get("identity", True):
            yield prefix + entry.name
        elif dataclasses.is_dataclass(value := getattr(node, entry.name)):
            yield from _outside(value, f"{prefix}{entry.name}.")


def _factor(key: str) -> list[str]:
    factor = FACTOR_OF.get(key.partition(".")[0])
    return [factor] if factor else []
