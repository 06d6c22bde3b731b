"""The command of a run, and whether it would train the same config today."""

import shlex

from training.console.program import called
from training.provenance.differences import config_of
from training.record import Record
from training.reproducing.original import Original, overrides_of

MOST_NAMED = 5  # keys
PLACES = ("data.root", "data.csv", "weights.path", "trainer.threads", "trainer.device")  # that may be other here


def command_of(original: Original) -> str | None:
    """For a shell; None where it isn't known."""
    if (kept := original.expected.get("command")) is not None:
        return str(kept)
    overrides = overrides_of(original.folder)
    if overrides is None:
        return None
    line = shlex.join([*called("train").split(), *overrides])
    return line if line.isprintable() else None


def command_today(original: Original) -> str:
    """How the config that the command gives now differs from the recorded one, since conf/ or a recipe has changed;
    nothing where it doesn't, or the command isn't known."""
    overrides = overrides_of(original.folder)
    if not overrides:
        return ""
    from sweeps.plan.configs import run_config_of
    from training.config import as_dict

    try:
        now = run_config_of([line for line in overrides if not line.startswith(("hydra", "sweep.plan"))])
    except Exception as error:  # Hydra's own too: a config group that isn't there any more
        return f"command: it gives no config today: {' '.join(str(error).split())[:200]}"
    before, after = config_of(original.record), config_of(Record(config=as_dict(now)))
    keys = [key for key in before if before[key] != after.get(key) and key not in PLACES]
    if not keys:
        return ""
    named = ", ".join(f"{key}={after.get(key)} ({before[key]} recorded)" for key in keys[:MOST_NAMED])
    more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
    return f"command: today it gives another config, {named}{more}; the run was trained again with the recorded one"
