"""hydra.sweeper.custom_search_space: a function of the user's own that suggests parameters.

What it suggests is known only by asking it, so it is asked before anything is paid for, and again with the values of
the study's earlier trials.
"""

import ast
import contextlib
import functools
import hashlib
import inspect
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from sweeps.sweepers.optuna_private import NotDrawn, Replay
from sweeps.sweepers.points import Suggest, drawn
from sweeps.sweepers.space import Space, changed, difference
from training.errors import ConfigError

LOOKED_AT = 300  # earlier trials that are compared with what would be suggested now, the newest
PROBES = 3  # points at random that have to compose before a search begins


@dataclass(frozen=True)
class CustomSpace:
    """`draw` suggests all parameters of a trial, the declared ones too. `name`: where the function is; "" for none."""

    name: str
    function: Callable[..., Any] | None
    draw: Suggest

    def described(self) -> dict[str, str] | None:
        """What the study remembers of it, as JSON."""
        return {"name": self.name, "code": code_of(self.function)} if self.function is not None else None

    def probes(self) -> list[FrozenTrial]:
        """Trials at random. Raises ConfigError for whatever the function raises."""
        if self.function is None:
            return []
        try:
            return [drawn(self.draw, {}, seed) for seed in range(PROBES)]
        except Exception as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"hydra.sweeper.custom_search_space={self.name}: {what}") from error

    def check(self, study: Study) -> None:
        """Raise ConfigError where it differs from what the study's trials came from."""
        trials = [trial for trial in study.get_trials(deepcopy=False) if "run_folder" in trial.user_attrs]
        for trial in trials[-LOOKED_AT:]:
            now = self.asked(trial)
            if now is not None and (change := difference(trial.distributions, now)):
                raise changed(study.study_name, f"{change} (trial {trial.number}, {self.name or 'no custom space'})")
        known = study.user_attrs.get("search_space", {})
        if "custom" not in known:  # a study of an earlier version, which did not write it down
            return
        was, now_is = known["custom"] or {}, self.described() or {}
        if bool(was) != bool(now_is):
            names = [one.get("name", "none") for one in (was, now_is)]
            raise changed(study.study_name, f"hydra.sweeper.custom_search_space was {names[0]}, now {names[1]}")
        if was and was["code"] and now_is["code"] and was["code"] != now_is["code"]:
            moved = "" if was["name"] == now_is["name"] else f", now {now_is['name']}"
            raise changed(study.study_name, f"the code of custom_search_space {was['name']} is another{moved}")

    def asked(self, trial: FrozenTrial) -> Space | None:
        """What a trial with these values would be asked for now, up to the first that it has not; None where the
        function needs more of a trial than its values."""
        replay = Replay(trial.params, trial.number)
        try:
            with contextlib.suppress(NotDrawn), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a value outside of what would be drawn now is told as a change
                self.draw(replay)
        except Exception:
            return None
        return replay.asked


def code_of(function: Any) -> str:
    """A hash of a function's code, but for its name, comments and docstrings; "" where its source isn't to be had."""
    if isinstance(function, functools.partial):
        function = function.func
    try:
        tree: Any = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return ""
    if not isinstance(tree, ast.FunctionDef | ast.ClassDef):
        return ""
    tree.name = ""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or len(body) < 2 or not isinstance(body[0], ast.Expr):
            continue
        if isinstance(body[0].value, ast.Constant):
            body.pop(0)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]
