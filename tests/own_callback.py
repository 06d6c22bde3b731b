"""A callback of a user's own, for +hydra.callbacks.own._target_=own_callback.Callback."""

from typing import Any

from hydra.experimental.callback import Callback as HydraCallback


class Callback(HydraCallback):
    """Says when a job has ended."""

    def on_job_end(self, **given: Any) -> None:
        print("called on_job_end")
