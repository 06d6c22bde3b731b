"""Workers as actors of a Ray cluster, one that is there or a local one that ends with the sweep."""

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sweeps.launchers.workers import board, ray_host
from sweeps.launchers.workers.ray_place import LOCAL, NAME, Place, connect, what_lacks
from training.errors import ConfigError

ROOT = Path(__file__).parents[3]
LOOK_S = 0.5
WAIT_S = 5.0  # so long a worker may be on its way before anything is said of it
NODES_S = 10.0  # between two looks at what nodes there are
CALL_S = 5.0  # for an answer of a node, beyond what was asked


@dataclass(eq=False)
class Hosted:
    """A worker as this engine has asked for it. `name`: once Ray has found a place for it."""

    actor: Any
    told_name: Any
    ended: Any
    since: float = field(default_factory=time.monotonic)
    name: str = ""
    over: bool = False
    error: str = ""  # what it ended by


class RayEngine:
    """`settings`: of the launcher, for workers. Their output lies in `.workers/logs`."""

    def __init__(self, sweep_folder: Path, settings: Mapping[str, Any], place: Place) -> None:
        self.sweep_folder, self.settings, self.place = sweep_folder.absolute(), dict(settings), place
        self.ray: Any = None
        self.ours = False
        self.hosts: list[Hosted] = []
        self.looked = self.asked_nodes = float("-inf")
        self.told: set[str] = set()

    def start(self, count: int) -> None:
        """Ask for so many more. Raises ConfigError where there is no Ray, or no cluster, or a local one has no room."""
        if self.ray is None:
            self._connect()
        order, options = self._order(), self._options()
        for _ in range(count):
            actor = self.ray.remote(ray_host.WorkerHost).options(**options).remote()
            self.hosts.append(Hosted(actor, actor.name.remote(), actor.serve.remote(order)))
        self.looked = float("-inf")

    def _connect(self) -> None:
        self.ours = connect(self.place)
        self.ray = importlib.import_module("ray")
        nodes = self.ray.nodes()
        if self.place.num_gpus is None:
            some = any(node["Alive"] and node["Resources"].get("GPU", 0) >= 1 for node in nodes)
            self.place = replace(self.place, num_gpus=1.0 if some else 0.0)
        self.ray.cloudpickle.register_pickle_by_value(ray_host)  # nodes need not know where it lies
        lack = what_lacks(self.place, nodes)
        if lack and self.place.address in LOCAL:
            self._leave()
            raise ConfigError(f"{NAME}: {lack}")

    def _leave(self) -> None:
        if self.ours and self.ray is not None:
            self.ray.shutdown()
        self.ray, self.ours = None, False

    def _order(self) -> ray_host.Order:
        logs = board.own_folder(self.sweep_folder) / "logs"
        settings = json.dumps({**self.place.slots(self.settings), "with_parent": True})
        python = "" if self.place.runtime_env else sys.executable
        mine = {key: value for key, value in os.environ.items() if key.startswith("FINEGRID_")}
        arguments = (str(self.sweep_folder), "--settings", settings)
        threads = int(self.place.num_cpus)
        return ray_host.Order(python, arguments, str(self.sweep_folder), str(logs), str(ROOT), threads, mine)

    def _options(self) -> dict[str, Any]:
        place = self.place
        found: dict[str, Any] = {"num_cpus": place.num_cpus, "num_gpus": place.num_gpus or 0}
        if place.mem_gb is not None:
            found["memory"] = int(place.mem_gb * 2**30)
        if place.resources:
            found["resources"] = dict(place.resources)
        if place.runtime_env:
            found["runtime_env"] = dict(place.runtime_env)
        return {**found, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 3}

    def alive(self) -> int:
        """How many of our workers run or wait for a place."""
        self._look()
        return sum(not host.over for host in self.hosts)

    def dead(self) -> list[str]:
        """Those that have ended, or whose actor or node Ray knows to be gone."""
        self._look()
        return [host.name for host in self.hosts if host.over and host.name]

    def failed_starts(self) -> list[str]:
        """The last lines of those that ended by an error of their own."""
        self._look()
        return [host.error for host in self.hosts if host.error]

    def _look(self) -> None:
        """Hear what has become of all, now and then."""
        if self.ray is None or time.monotonic() - self.looked < LOOK_S:
            return
        self.looked = time.monotonic()
        there = [host for host in self.hosts if not host.over]
        nameless = [host for host in there if not host.name]
        for host in self._ready(nameless, [host.told_name for host in nameless]):
            with contextlib.suppress(self.ray.exceptions.RayError):
                host.name = self.ray.get(host.told_name)
        for host in self._ready(there, [host.ended for host in there]):
            host.over = True
            host.error = self._why(host)
            if not self._is_aside(host.name):
                self.ray.kill(host.actor)  # and its place is free

    def _ready(self, hosts: Sequence[Hosted], answers: Sequence[Any]) -> list[Hosted]:
        if not answers:
            return []
        ready = set(self.ray.wait(list(answers), num_returns=len(answers), timeout=0)[0])
        return [host for host, answer in zip(hosts, answers, strict=True) if answer in ready]

    def _why(self, host: Hosted) -> str:
        """What a worker ended by, where that was an error of its own; not that its node is gone."""
        errors = self.ray.exceptions
        try:
            code, line = self.ray.get(host.ended)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            return " ".join(str(getattr(error, "cause", None) or error).strip().rpartition("\n")[2].split())
        except errors.RayError:
            return ""
        return (line or f"exit code {code}") if code > 0 else ""

    def _is_aside(self, name: str) -> bool:
        """Whether it was set aside: it keeps its place then, as the next worker would get the same broken GPU."""
        boards = self.sweep_folder / board.WORKERS / board.BOARDS
        return bool(name) and any((boards / one / board.ASIDE / name).exists() for one in board.names(boards))

    def lack(self) -> str:
        """What to say of workers that have no place yet; each line once."""
        now = time.monotonic()
        waiting = [host for host in self.hosts if not host.over and not host.name and now - host.since > WAIT_S]
        if self.ray is None or not waiting or now - self.asked_nodes < NODES_S:
            return ""
        self.asked_nodes = now
        line = what_lacks(self.place, self.ray.nodes())
        if line:
            line = f"{line}: waiting until there is one"
        elif not any(host.name and not host.over for host in self.hosts):
            line = f"waiting for Ray to give a worker {self.place.in_words()}: what its nodes have is in use"
        if line in self.told:
            return ""
        self.told.add(line)
        return line

    def give_up(self, name: str, told: Mapping[str, Any]) -> None:
        """Kill it, and what runs there with it."""
        for host in self.hosts:
            if host.name == name and not host.over:
                self._end([host], 0.0)
                host.over = True

    def stop(self, grace_s: float) -> None:
        """End all, at the latest after `grace_s`, and a cluster that was started for them."""
        if self.ray is None:
            return
        self.looked = float("-inf")
        self._look()
        self._end([host for host in self.hosts if not host.over], grace_s)
        self._kill(self.hosts)  # some keep a broken GPU
        self.hosts.clear()
        self._leave()

    def _end(self, hosts: Sequence[Hosted], grace_s: float) -> None:
        """Have workers end, those that are there in order."""
        placed = [host for host in hosts if host.name]
        with contextlib.suppress(self.ray.exceptions.RayError):
            answers = [host.actor.end.remote(grace_s) for host in placed] + [host.ended for host in placed]
            if answers:
                self.ray.wait(answers, num_returns=len(answers), timeout=grace_s + CALL_S)
        self._kill(hosts)

    def _kill(self, hosts: Sequence[Hosted]) -> None:
        for host in hosts:
            with contextlib.suppress(self.ray.exceptions.RayError, ValueError):
                self.ray.kill(host.actor)
