"""The network of a done run, built again with its images, to evaluate other weights in it; see training/soup.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from training.config import need
from training.data.batches import Batches, Preprocessing
from training.data.dataset import open_dataset
from training.data.image_store import ImageStore
from training.device import layout, resolve_compute, resolve_threads
from training.engine.loop import evaluate
from training.engine.metrics import Predictions
from training.engine.prepare import Prepared
from training.finished.finished_runs import FinishedRun
from training.identity import Facts
from training.models.build import build_model
from training.models.weights import StateDict, put, read_checkpoint
from training.run_folder import BEST


class Rebuilt:
    """Network, images and precision of a run. Raises ConfigError where they can't be had again."""

    def __init__(self, member: FinishedRun, device: str = "auto") -> None:
        self.member, config = member, member.config
        self.config = replace(config, trainer=replace(config.trainer, device=device))
        self.compute = resolve_compute(self.config.trainer)
        self.threads = int(member.record.threads or resolve_threads("auto"))
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(config.trainer.deterministic, warn_only=True)
        self.dataset = open_dataset(config.data)
        same = self.dataset.fingerprint == member.record.data.fingerprint
        need(same, f"{member.folder}: the images have changed since this run")
        _, self.about = read_checkpoint(member.folder / BEST)
        need("preprocessing" in self.about, f"{member.folder / BEST}: not written by a run (no preprocessing in it)")
        part = self.about["preprocessing"]
        self.preprocessing = Preprocessing(part["size"], tuple(part["mean"]), tuple(part["std"]))
        self.model = self._build_model()
        store = ImageStore(self.dataset, config.data)
        self.batches = Batches(self.dataset, store, self.preprocessing, self.compute)

    def _build_model(self) -> torch.nn.Module:
        model = build_model(self.config.model, len(self.dataset.classes))
        model.to(memory_format=layout(self.compute))
        return model.to(self.compute.device)

    def weights_of(self, member: FinishedRun) -> StateDict:
        """The selected weights of a run. Raises ConfigError unless they are of this network and its preprocessing."""
        file = member.folder / BEST
        state, about = read_checkpoint(file)
        own = self.model.state_dict()
        fits = own.keys() == state.keys() and all(own[name].shape == state[name].shape for name in own)
        need(fits, f"{file}: its tensors are not those of {self.member.name}")
        need(about.get("preprocessing") == self.about["preprocessing"], f"{file}: of another preprocessing")
        return state

    def evaluate(self, weights: StateDict, split: str) -> Predictions:
        """Class scores of the val or test images with these weights."""
        put(self.model, weights)
        return evaluate(self.model, self.batches.evaluate(split, self.config.trainer.batch_size), self.compute)

    def prepared(self, weights: str, identity: str, sweep: Path) -> Prepared:
        """The run as one of another name, in this sweep folder, whose weights are called so."""
        place = replace(self.config.sweep, root=str(sweep.parent), name=sweep.name)
        resolved = self.member.record.resolved
        facts = Facts(
            weights,
            str(resolved.normalize),
            self.compute.precision,
            self.compute.memory_format,
            self.dataset.fingerprint,
            tuple(self.dataset.drawn),
        )
        config = replace(self.member.config, seed=0, sweep=place)  # nothing is drawn for it
        return Prepared(config, self.dataset, self.compute, facts, identity, "")

    def best_weights_file(self, weights: StateDict, identity: str) -> bytes:
        """best.safetensors, as a run's."""
        about: dict[str, Any] = self.about | {"identity": identity, "seed": 0}
        state = {name: tensor.contiguous() for name, tensor in weights.items()}
        return safetensors.torch.save(state, {"finegrid": json.dumps(about)})
