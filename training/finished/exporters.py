"""A trained network as one file for other programs, written and read back: ONNX, or a program of torch.export.

Either takes images at their stored size, uint8 [batch, 3, S, S], and gives logits, float32 [batch, classes]: the centre
crop and the normalization are inside. What else has to be known about them is text in the file (`metadata`).
"""

import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.data.batches import Preprocessing, centre
from training.data.files.value_range import words
from training.models.build import logits
from training.models.trained_model import TrainedModel
from training.schema.checks import need

EXTRA = "finegrid.json"  # of a .pt2: its metadata
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
Answer = Callable[[np.ndarray], np.ndarray]  # uint8 [B, 3, S, S] to float32 [B, classes]


class Deployed(nn.Module):
    """The network with its preprocessing before it: uint8 [B, 3, S, S] to logits [B, classes]."""

    mean: Tensor  # [1, 3, 1, 1], on a scale of 0 to 255
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self.size = network, preprocessing.size
        mean, std = torch.tensor([preprocessing.mean, preprocessing.std]).mul(255).view(2, 1, 3, 1, 1)
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, images: Tensor) -> Tensor:
        return logits(self.network((centre(images, self.size).float() - self.mean) / self.std))


def check_packages(kind: str) -> None:
    """Raise ConfigError where a package is missing."""
    missing = [name for name in PACKAGES if kind == "onnx" and importlib.util.find_spec(name) is None]
    need(not missing, f"--to onnx needs {', '.join(missing)}: pip install 'finegrid[export]'")


def check_reader(kind: str) -> None:
    """Raise ConfigError where what reads such a file is missing."""
    there = kind != "onnx" or importlib.util.find_spec("onnxruntime") is not None
    need(there, "an .onnx needs onnxruntime: pip install onnxruntime, or 'finegrid[export]'")


def metadata(trained: TrainedModel) -> dict[str, str]:
    """What a user of the file has to know, as texts: classes and preprocessing as JSON, the input in words."""
    about = trained.about["preprocessing"]
    side = about["stored_size"]
    part = "the whole image, whatever its shape," if about["resize"] == "stretch" else "the middle square of the image"
    how = f"RGB, upright, {part} resized to {side} x {side} px (bilinear, antialiased), not normalized"
    if deep := words(trained.ranges):
        how += f"; {deep}"
    return {
        "classes": json.dumps(trained.classes),
        "preprocessing": json.dumps(about),
        "size": str(about["size"]),
        "stored_size": str(side),
        "resize": about["resize"],
        "input": f"images: uint8 [batch, 3, {side}, {side}], {how}",
        "output": "logits: float32 [batch, classes]",
        "model": json.dumps(trained.about["model"]),
        "identity": str(trained.about["identity"]),
        "seed": str(trained.about["seed"]),
    }


def write(kind: str, trained: TrainedModel, part: Path) -> None:
    """Write the network to `part`. What torch makes of a network that it can't trace may be any exception."""
    deployed = Deployed(trained.network, trained.preprocessing).eval()
    side = trained.images.stored
    example = torch.zeros((2, 3, side, side), dtype=torch.uint8)
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    quiet = (redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()))  # of progress and remarks on versions
    with torch.no_grad(), warnings.catch_warnings(action="ignore"), quiet[0], quiet[1]:
        program = torch.export.export(deployed, (example,), dynamic_shapes=shapes)
        if kind == "torch":
            file = io.BytesIO()  # since torch, where it writes to a full disk itself, ends the process
            torch.export.save(program, file, extra_files={EXTRA: json.dumps(metadata(trained))})
            part.write_bytes(file.getbuffer())
            return
        part.write_bytes(_onnx(program, metadata(trained)))


def _onnx(program: "torch.export.ExportedProgram", about: dict[str, str]) -> bytes:
    import onnx

    made = torch.onnx.export(program, input_names=["images"], output_names=["logits"], dynamo=True, verbose=False)
    assert made is not None
    proto = made.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # where in whose folder the layer's code stood
    onnx.helper.set_model_props(proto, about)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def read(kind: str, file: Path, device: str, threads: int) -> tuple[Answer, dict[str, str], str]:
    """Load a file: a function that answers, its metadata, and on what it computes. May raise any exception."""
    return _read_onnx(file, device, threads) if kind == "onnx" else _read_torch(file, device)


def _read_onnx(file: Path, device: str, threads: int) -> tuple[Answer, dict[str, str], str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    wanted = ["CUDAExecutionProvider"] * device.startswith("cuda") + ["CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(os.fspath(file), options, providers=providers)

    def answer(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = session.run(["logits"], {"images": images})[0]
        return found

    where = "cuda" if session.get_providers()[0].startswith("CUDA") else "cpu"
    return answer, dict(session.get_modelmeta().custom_metadata_map), where


def _read_torch(file: Path, device: str) -> tuple[Answer, dict[str, str], str]:
    extra: dict[str, Any] = {EXTRA: ""}
    with file.open("rb") as stream, warnings.catch_warnings(action="ignore"):
        program = torch.export.load(stream, extra_files=extra)
    if device.startswith("cuda"):
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    else:
        device = "cpu"
    module = program.module()

    @torch.no_grad()
    def answer(images: np.ndarray) -> np.ndarray:
        scores: np.ndarray = module(torch.from_numpy(images).to(device)).float().cpu().numpy()
        return scores

    return answer, json.loads(extra[EXTRA]), device
