"""What workers ask of a Ray cluster, which one that is, and whether it has it."""

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from training.errors import ConfigError
from training.schema.checks import need

KEYS = ("address", "num_gpus", "num_cpus", "mem_gb", "resources", "runtime_env")
NAME = "hydra/launcher=ray_workers"
LOCAL = (None, "local")
CALL_S = 5.0  # for an answer at the address
# That of one ray:// client, on the head, died at its start; the next one has another port
NO_SERVER = ("Starting Ray client server failed", "Proxy failed to Connect", "psutil.NoSuch", "psutil.Zombie")
TRIES, PAUSE_S = 3, 2.0


@dataclass(frozen=True)
class Place:
    """What each worker asks Ray for, and of which cluster. `num_gpus`: None for one where a node has any."""

    address: str | None
    num_gpus: float | None
    num_cpus: float
    mem_gb: float | None
    resources: Mapping[str, float] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Place":
        """Of the launcher's settings. Raises ConfigError."""
        given = {key: _plain(settings[key]) for key in KEYS}
        gpus, devices = given["num_gpus"], settings["devices"]
        need(gpus == "auto" or isinstance(gpus, int | float), f"hydra.launcher.num_gpus={gpus}: auto or a number")
        if gpus == "auto":
            given["num_gpus"] = 0 if devices == "cpu" else None
        else:
            whole = f"hydra.launcher.num_gpus={gpus}: expected 0 to 1, or a whole number, as Ray has it"
            need(0 <= gpus <= 1 or (gpus > 1 and gpus == int(gpus)), whole)
            need(gpus or devices != "gpu", "hydra.launcher.devices=gpu: needs hydra.launcher.num_gpus above 0")
        for key in ("num_cpus", "mem_gb"):
            value = given[key]
            need(value is None or value > 0, f"hydra.launcher.{key}={value}: expected above 0")
        for key in ("resources", "runtime_env"):
            ok = isinstance(given[key], dict | None)
            need(ok, f"hydra.launcher.{key}={given[key]}: expected keys and values, such as {{name: 1}}")
        for key, value in (given["resources"] or {}).items():
            ok = isinstance(value, int | float) and value > 0
            need(ok, f"hydra.launcher.resources: {key}={value}: expected a number above 0")
        given["resources"], given["runtime_env"] = given["resources"] or {}, given["runtime_env"] or {}
        return cls(**given)

    def demand(self) -> dict[str, float]:
        """By Ray's names of resources, without what is 0."""
        memory = (self.mem_gb or 0.0) * 2**30
        asked = {"CPU": self.num_cpus, "GPU": self.num_gpus or 0.0, "memory": memory, **self.resources}
        return {key: value for key, value in asked.items() if value}

    def in_words(self) -> str:
        """The demand, by the names of the settings."""
        words = {"CPU": f"num_cpus={self.num_cpus:g}", "GPU": f"num_gpus={self.num_gpus or 0:g}"}
        words["memory"] = f"mem_gb={self.mem_gb or 0:g}"
        return " ".join(words.get(key, f"resources.{key}={value:g}") for key, value in self.demand().items())

    def slots(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The launcher's settings as a worker gets them: its slots follow what Ray gives it. One that has a part of a
        GPU has one slot there, as the rest is another's; one without GPUs must not look for any."""
        found = dict(settings)
        if not self.num_gpus:
            found["devices"] = "cpu"
        elif self.num_gpus < 1 and found["slots"] == found["slots_per_gpu"] == "auto":
            found.update({"slots_per_gpu": 1, "mps": "off"})
        return found


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def check_ray(place: Place) -> None:
    """Raise ConfigError where Ray is not installed, or nothing answers at the address."""
    ok = importlib.util.find_spec("ray") is not None
    need(ok, f"{NAME} needs Ray: pip install 'finegrid[ray]'")
    address = _found() if place.address == "auto" else place.address
    if address in (*LOCAL, "auto"):
        return
    found = re.fullmatch(r"(?:ray://)?\[?([^\]/]+)\]?:(\d+)", str(address))
    expected = "expected auto, local, HOST:PORT of a cluster that this machine is in, or ray://HOST:PORT"
    if found is None:
        raise ConfigError(f"hydra.launcher.address={address}: {expected}")
    try:  # Ray itself tries for minutes
        socket.create_connection((found[1], int(found[2])), CALL_S).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(str(address), error) from error


def _found() -> str:
    """What Ray takes for `auto`, as far as an address is known: also that of a cluster that was, which a file in Ray's
    folder names."""
    if address := os.environ.get("RAY_ADDRESS"):
        return address
    with contextlib.suppress(Exception):  # private, so it may change
        found = sorted(importlib.import_module("ray._private.services").find_gcs_addresses())
        if found:
            return found[0] if len(found) == 1 else "auto"
    try:
        return (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster").read_text().strip()
    except OSError:
        return "auto"


def _no_cluster(address: str | None, error: BaseException) -> ConfigError:
    text = str(error).rstrip()
    if "Traceback (most recent call last)" in text:  # of the head's server
        text = text.splitlines()[-1]
    why = " ".join(text.split()).partition(". ")[0][:300]
    how = "start one by 'ray start --head', or take hydra.launcher.address=local"
    return ConfigError(f"hydra.launcher.address={address}: no Ray cluster to be had: {why}; {how}")


def connect(place: Place) -> bool:
    """Join the cluster, or start one; False where this process is in one already. Raises ConfigError."""
    check_ray(place)
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    own = {"include_dashboard": False} if place.address in LOCAL else {}
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _init(address=place.address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # of many kinds
        raise _no_cluster(place.address, error) from error
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread, where Ray sets none either
            for number, handler in before.items():
                signal.signal(number, handler)
    return True


def _init(**settings: Any) -> None:
    """As `ray.init`; again where the head's server of this client died at its start, as it may on a loaded machine."""
    ray: Any = importlib.import_module("ray")
    for left in reversed(range(TRIES)):
        try:
            ray.init(**settings)
            return
        except Exception as error:  # of many kinds
            if left == 0 or not any(words in str(error) for words in NO_SERVER):
                raise
            time.sleep(PAUSE_S)


def what_lacks(place: Place, nodes: Sequence[Mapping[str, Any]]) -> str:
    """In words, that no node has what a worker asks for; nothing where one has. Ray would wait for ever."""
    there = [node["Resources"] for node in nodes if node["Alive"]]
    demand = place.demand()
    if any(all(has.get(key, 0) >= value for key, value in demand.items()) for has in there):
        return ""
    most = {key: max((has.get(key, 0) for has in there), default=0) for key in demand}
    told = ", ".join(f"{v / 2**30:.0f} GB of memory" if k == "memory" else f"{v:g} {k}" for k, v in most.items())
    return f"no node of the Ray cluster has {place.in_words()} for a worker (the most that one has: {told})"


def plan_lack(place: Place) -> str:
    """What a plan says of a cluster that is there: that no node of it has what workers ask for. Else nothing."""
    if place.address in LOCAL:
        return ""
    with contextlib.suppress(ConfigError):
        ours = connect(place)
        ray: Any = importlib.import_module("ray")
        try:
            return what_lacks(place, ray.nodes())
        finally:
            if ours:
                ray.shutdown()
    return ""
