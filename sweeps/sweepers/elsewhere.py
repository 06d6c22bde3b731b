"""What `auto` is where a sweep's runs are carried out on other machines: said by the user, or stored in the sweep's
folder, or else as the first worker that starts finds it. Folders are named by it, so the plan has to know."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sweeps.cancelling import ALL
from sweeps.controller.live_state import LiveState
from sweeps.controller.sweep_file import store_kinds, store_threads, stored_kinds, stored_threads
from sweeps.plan.jobs import TO_RUN, Job, Planner
from sweeps.stopping import CANCELLED, SweepEnded
from training.device import Kind
from training.schema.checks import AUTO

UNKNOWN = (
    "trainer.precision=auto is not known before the first worker starts; until then names of folders are those of this "
    "machine's"
)
HINT = "hydra.launcher.gpu=NAME (a100, sm_80, cpu)"


class Elsewhere:
    """Of one sweep. `kinds`: as of Planner; None where runs are carried out here, or nobody can be asked."""

    def __init__(self, launcher: Any, folder: Path) -> None:
        self.launcher: Any = launcher if hasattr(launcher, "first_kind") else None
        self.folder = folder
        self.kinds: Sequence[Kind] | None = None
        self.why, self.waited = "", False
        if self.launcher is None:
            return
        self.launcher.threads = stored_threads(folder)
        self.launcher.keep_threads = functools.partial(store_threads, folder)
        self.kinds, stored = tuple(self.launcher.named_kinds), stored_kinds(folder)
        if self.kinds:
            several = len({kind.precision for kind in self.kinds}) > 1
            names = ", ".join(f"{kind.name}: {kind.precision}" if several else kind.name for kind in self.kinds)
            self.why = f"the weakest's of hydra.launcher.blocks ({names})" if several else f"hydra.launcher.gpu={names}"
        elif stored:
            self.kinds = stored
            self.why = f"{' and '.join(kind.name for kind in stored)}, as stored in the sweep's folder; {HINT} wins"

    def decide(
        self, planner: Planner, jobs: list[Job], plan: Callable[[], list[Job]], of_search: bool = False
    ) -> list[Job]:
        """The jobs, planned again where that waited for a worker. `of_search`: others like these will be run. Raises
        ConfigError, SweepEnded."""
        asks = any(job.run.trainer.precision == AUTO and (of_search or job.state in TO_RUN) for job in jobs)
        if self.kinds is None:
            return jobs
        if not self.kinds and asks:
            self.kinds = self._first_worker()
            self.why = f"{self.kinds[0].name}, which the first worker has"
            planner.kinds = self.kinds
            jobs = plan()
        self.launcher.kinds = self.kinds if asks else ()
        return jobs

    def _first_worker(self) -> Sequence[Kind]:
        line = f"waits for the first worker: what trainer.precision=auto is, its device says; {HINT} spares that"
        print(line, flush=True)
        self.waited = True
        with LiveState(self.folder, 1).joined() as live:
            live.say("waits_for", line)

            def goes_on() -> bool:
                live.tick()
                return ALL not in live.requests()

            kind = self.launcher.first_kind(goes_on)
        if kind is None:
            raise SweepEnded(CANCELLED, "cancelled; the same command again goes on")
        return store_kinds(self.folder, [kind])

    def notices(self, jobs: Sequence[Job]) -> list[str]:
        """What the plan says of it."""
        of = [job for job in jobs if job.prepared is not None and job.run.trainer.precision == AUTO]
        if self.kinds is None or not of:
            return []
        if not self.kinds:
            line = f"{UNKNOWN}; {HINT} tells it"
            return [line] if any(job.state in TO_RUN for job in of) else []
        found = sorted({str(job.prepared.resolved.precision) for job in of if job.prepared is not None})
        return [f"trainer.precision=auto is {' or '.join(found)} here: {self.why}"]

    def keep(self) -> None:
        """Have the next command find what this one goes by."""
        if self.kinds and list(self.kinds) != list(stored_kinds(self.folder)):
            store_kinds(self.folder, self.kinds, replace=True)

    def close(self) -> None:
        """Let workers go that were started for their word alone."""
        if self.waited:
            self.launcher.close()
