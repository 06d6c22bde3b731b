"""A run in MLflow: in the store of MLFLOW_TRACKING_URI, a server's or a folder, by default <sweep root>/mlruns."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.engine.tracking.elsewhere import About, figures, flat, per_class
from training.record import Record

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "mlruns"
LONGEST = 6000  # characters of a parameter, at most
AT_ONCE = 100  # parameters in a call, at most


class MlflowRun:
    """See training.engine.tracking.elsewhere.Tracked."""

    def __init__(self, about: About) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers of its use
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder needs no server and no database
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI") or (about.root / FOLDER).absolute().as_uri()
        self.client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or about.sweep
        if about.known.get("uri") == uri and self._goes_on(str(about.known.get("id"))):
            self.known = {"id": str(about.known["id"]), "uri": uri}
            return
        with _alone(about.root):
            experiment = _experiment(self.client, name)
        tags = {"sweep": about.sweep, "identity": about.identity, "folder": about.name}
        run = self.client.create_run(experiment, run_name=about.name, tags=tags)
        self.known = {"id": run.info.run_id, "uri": uri}
        parameters = [Param(key, str(value)[:LONGEST]) for key, value in flat(about.config).items()]
        for start in range(0, len(parameters), AT_ONCE):
            self.client.log_batch(self.known["id"], params=parameters[start : start + AT_ONCE])

    def _goes_on(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            self.client.update_run(run_id, status="RUNNING")
        except MlflowException:  # it was deleted
            return False
        return True

    def epoch(self, epoch: int, scalars: dict[str, float], rates: Sequence[tuple[int, dict[str, float]]]) -> None:
        """Curves by epoch, and learning rates by optimizer step."""
        points = [(key, value, step) for step, named in rates for key, value in named.items()]
        self._log(points + [(key, value, epoch) for key, value in scalars.items()])

    def _log(self, points: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.known["id"], metrics=[Metric(key, value, now, step) for key, value, step in points])

    def record(self, record: Record) -> None:
        """How the run ended: figures, the record itself, and a table of the classes."""
        run_id = self.known["id"]
        self._log([(name, value, record.epochs_run or 0) for name, value in figures(record).items()])
        resolved = {"status": record.status, "weights": record.resolved.weights, "licence": record.resolved.licence}
        for key, value in resolved.items():
            if value is not None:
                self.client.set_tag(run_id, key, value)
        self.client.log_dict(run_id, record.to_json(), "record.json")
        if record.status == "done":
            columns = per_class(record)
            rows = [list(row) for row in zip(*columns.values(), strict=True)]
            self.client.log_dict(run_id, {"columns": list(columns), "data": rows}, "per_class.json")

    def close(self, status: str | None) -> None:
        """Let go."""
        ended: dict[str | None, str] = {"done": "FINISHED", "pruned": "FINISHED"}
        self.client.set_terminated(self.known["id"], ended.get(status, "FAILED"))


def _experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment of this name, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    found: Any = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # made by somebody else in between
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One run of a root at a time: a folder would take two experiments of one name."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{FOLDER}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
