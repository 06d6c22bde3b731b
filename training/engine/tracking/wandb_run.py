"""A run in Weights & Biases: online where there is a key, else in a file that `wandb sync` uploads.

WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_DIR are respected.
"""

import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from training.engine.tracking.elsewhere import About, figures, per_class
from training.record import Record
from training.schema.json_parts import to_keys

PROJECT = "finegrid"
log = logging.getLogger(__name__)


class WandbRun:
    """See training.engine.tracking.elsewhere.Tracked."""

    def __init__(self, about: About) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it would tell its makers of errors, offline too
        import wandb

        self.known: dict[str, Any] = {"id": str(about.known.get("id") or secrets.token_hex(4))}
        mode: Any = os.environ.get("WANDB_MODE")
        if mode is None and not wandb.login(prompt=False):
            mode = "offline"
            log.info("wandb: no WANDB_API_KEY and no login, so the run is kept in a file: wandb sync uploads it")
        folder = os.environ.get("WANDB_DIR") or str(about.root)
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=folder,
            id=self.known["id"],
            resume="allow",
            mode=mode,
            group=about.sweep,
            name=about.name,
            config=about.config | {"identity": about.identity},
            allow_val_change=True,
            # it is to watch nothing but what it is given: neither the terminal, the machine, nor the code
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, save_code=False, disable_code=True
            ),
        )
        self.run.define_metric("*", step_metric="epoch")
        self.run.define_metric("learning_rate/*", step_metric="optimizer_step")

    def epoch(self, epoch: int, scalars: dict[str, float], rates: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Curves by epoch, and learning rates by optimizer step."""
        for step, named in rates:
            self.run.log(named | {"optimizer_step": step})
        self.run.log(scalars | {"epoch": epoch})

    def record(self, record: Record) -> None:
        """How the run ended: the summary, and a table of the classes."""
        import wandb

        columns = per_class(record)
        rows: list[Iterable[Any]] = [list(row) for row in zip(*columns.values(), strict=True)]
        if record.status == "done":
            self.run.log({"per_class": wandb.Table(columns=list(columns), data=rows)})
        self.run.config["resolved"] = to_keys(record.resolved)
        for name, value in (figures(record) | {"status": record.status}).items():
            self.run.summary[name] = value

    def close(self, status: str | None) -> None:
        """Let go, of its process too."""
        import wandb

        self.run.finish(exit_code=0 if status in ("done", "pruned") else 1)
        wandb.teardown()
