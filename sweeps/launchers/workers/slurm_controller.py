"""The controller of a sweep as a small job of Slurm (sweep.detach=true). Before its time is over it ends in order, and
begins again in the same job, put into the queue anew."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.detached import STATE
from training.errors import ConfigError
from training.schema.checks import need

CALL_S = 60.0  # for an answer of Slurm
MARGIN_S = 30  # beyond the launcher's grace_s, from the signal to the end of the job's time

# Its own SLURM_* would be taken for settings of the jobs that it submits. TERM is of scancel, USR1 of the time limit.
SCRIPT = """#!/bin/bash
job=$SLURM_JOB_ID conf=${{SLURM_CONF-}}
unset "${{!SLURM_@}}"
if [ -n "$conf" ]; then export SLURM_CONF="$conf"; fi
cd {folder} || exit 1
{setup}
export {variables}
again=
trap 'again=1; kill -TERM $child' USR1
trap 'kill -TERM $child' TERM
{command} &
child=$!
wait $child
code=$?
while kill -0 $child 2>/dev/null; do
    wait $child
    code=$?
done
if [ -n "$again" ] && [ $code = 143 ]; then
    echo "the time of job $job is over: it is put into the queue anew, and goes on"
    scontrol requeue "$job"
    sleep 60
fi
rm -f {state}
exit $code
"""


@dataclass
class ControllerConfig:
    """hydra.launcher.controller, of slurm_workers: what sbatch is asked for. What is null is as of the workers, or else
    the cluster's default."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    timeout_min: int | None = None  # then it begins again; null: as long as the partition allows
    mem_gb: float | None = 4.0
    sbatch: Any = None  # further options of sbatch, such as {nice: 100}


def submit_controller(
    settings: Mapping[str, Any],
    command: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    output: Path,
) -> str:
    """Submit it; gives Slurm's number of the job. `settings`: of the launcher, with `controller`. `folder`: for its
    script. Raises ConfigError for what Slurm refuses."""
    script = folder / "controller.sh"
    script.write_text(
        SCRIPT.format(
            folder=shlex.quote(str(Path.cwd())),
            setup="\n".join(settings["setup"] or ()),
            variables=" ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items()),
            command=shlex.join(command),
            state=shlex.quote(str((folder / STATE).absolute())),
        )
    )
    environment = {key: value for key, value in os.environ.items() if key != "HYDRA_FULL_ERROR"}
    try:
        done = subprocess.run(
            ["sbatch", *_options(settings, output), str(script)],
            capture_output=True,
            text=True,
            timeout=CALL_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"sweep.detach=true: sbatch: {error}") from error
    found = re.match(r"(\d+)", done.stdout)
    if done.returncode or found is None:
        told = [line for line in done.stderr.splitlines() if "error:" in line] or [done.stderr]
        raise ConfigError(f"sweep.detach=true, hydra.launcher.controller: {' '.join(told[-1].split())}")
    return found[1]


def _options(settings: Mapping[str, Any], output: Path) -> list[str]:
    own = settings["controller"]
    minutes, memory = own["timeout_min"], own["mem_gb"]
    ends_s = round(settings["grace_s"]) + MARGIN_S
    ok = minutes is None or 60 * minutes > ends_s
    need(ok, f"hydra.launcher.controller.timeout_min={minutes}: expected more than the {ends_s} s in which it ends")
    options = {key: own[key] or settings[key] for key in ("partition", "account", "qos")}
    options |= {"constraint": own["constraint"], "time": minutes}
    options["mem"] = None if memory is None else f"{round(1024 * memory)}M"
    options |= {
        "job-name": f"finegrid-{output.parent.name}-controller",
        "output": str(output.absolute()),
        "open-mode": "append",
        "ntasks": 1,
        "cpus-per-task": 1,
        "signal": f"B:USR1@{ends_s}",
        **(own["sbatch"] or {}),
    }
    return ["--parsable", "--requeue", *(f"--{key}={value}" for key, value in options.items() if value is not None)]
