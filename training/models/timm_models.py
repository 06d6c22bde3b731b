"""timm's classifiers: model=timm model.name=convnext_tiny.in12k_ft_in1k, any that timm lists (python -m training.zoo).

A name is an architecture, and after the dot the tag of its weights, which weights=default takes. timm says what images
those saw, which layer makes the scores, and in which order the layers stand. https://huggingface.co/docs/timm
"""

import difflib
import http.client
import inspect
import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ModelConfig
from training.errors import ConfigError, Impossible
from training.models.checkpoint_file import StateDict, read_checkpoint
from training.models.family import Family, Pretraining
from training.models.layers import children_in_order, last_layer
from training.models.torchvision import answer_of
from training.schema.checks import need

if TYPE_CHECKING:
    from timm.models import PretrainedCfg
    from torch import nn

log = logging.getLogger(__name__)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RATES = {"drop_path": "drop_path_rate", "dropout": "drop_rate"}  # our names, and timm's
CHECKPOINTING = "grad_checkpointing"  # of model.kwargs: less memory for more time
FILES = ("model.safetensors", "pytorch_model.bin")  # on the Hub


class Timm(Family):
    """Weight sources are the tags of an architecture. model.kwargs go to timm.create_model."""

    runs_on_meta = True

    def build(self, config: ModelConfig, classes: int) -> "nn.Module":
        return _create(config, classes)

    def check(self, config: ModelConfig) -> None:
        _tags(config.name)

    def sources(self, config: ModelConfig) -> list[str]:
        return _tags(config.name)

    def file(self, config: ModelConfig, resolved: str) -> Path:
        return weights_file(_pretrained(config, resolved))

    def state(self, config: ModelConfig, resolved: str, model: "nn.Module") -> StateDict:
        """As timm itself reads them: names of earlier versions, position embeddings of another size of images."""
        told, file = _pretrained(config, resolved), self.file(config, resolved)
        overlay = {"state_dict": read_checkpoint(file)[0]}
        try:
            trained = _create(config, told.num_classes, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, KeyError) as error:
            raise ConfigError(f"{file}: not the weights of {_name(told)}: {_first_line(error)}") from error
        return dict(trained.state_dict())

    def pretraining(self, config: ModelConfig, resolved: str) -> Pretraining:
        told = _pretrained(config, resolved)
        mean, std = (tuple(map(float, part)) for part in (told.mean, told.std))
        assert len(mean) == len(std) == 3
        size = int(told.input_size[-1])
        shorter_side = round(size / (told.crop_pct or 1))
        normalize = "imagenet" if (mean, std) == IMAGENET else "weights"
        licence = told.license or "unknown"
        return Pretraining(normalize, mean, std, size, shorter_side, told.interpolation or "bicubic", licence)

    def content(self, config: ModelConfig, resolved: str) -> str:
        return _name(_pretrained(config, resolved))  # a tag is one file

    def head(self, model: "nn.Module") -> str:
        told: Any = model.pretrained_cfg.get("classifier")  # type: ignore[operator, union-attr]
        names = [told] if isinstance(told, str) else list(told or [])  # two of a distilled network
        parts = {name for name, _ in model.named_modules()}
        return names[0] if names and names[0] in parts else last_layer(model)

    def layers(self, model: "nn.Module") -> list[tuple[str, list[str]]]:
        """By timm's group_matcher; what it doesn't know belongs to the last layer, with the scores."""
        from timm.models import group_parameters

        if not hasattr(model, "group_matcher"):
            return children_in_order(model)
        found = group_parameters(model, model.group_matcher(coarse=False))  # type: ignore[operator]
        return [(f"layer{number:02}", list(found[number])) for number in sorted(found)]


def _create(config: ModelConfig, classes: int, **more: Any) -> "nn.Module":
    import timm

    _tags(config.name)
    arguments = dict(config.kwargs)
    checkpointing = bool(arguments.pop(CHECKPOINTING, False))
    if not _takes_a_size(config.name):
        arguments.pop("img_size", None)
    given = {RATES[key]: getattr(config, key) for key in RATES if getattr(config, key) is not None}
    more = {"pretrained": False} | more
    try:
        model: nn.Module = timm.create_model(config.name, num_classes=classes, **arguments, **given, **more)
    except (TypeError, AssertionError, ValueError) as error:
        settings = [*(f"model.{ours}" for ours, name in RATES.items() if name in given), *map(str, arguments)]
        raise Impossible(f"model.name={config.name} refuses {', '.join(settings)}: {_first_line(error)}") from error
    if checkpointing:
        ok = hasattr(model, "set_grad_checkpointing")
        need(ok, f"model.kwargs.{CHECKPOINTING}: {config.name} can't do that")
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    return model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@cache
def _takes_a_size(name: str) -> bool:
    """Whether the network is made for one size of images, as transformers with position embeddings are."""
    import timm

    told = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if told is not None and told.fixed_input_size:
        return True
    architecture = name.partition(".")[0]
    return "img_size" in inspect.signature(timm.models.model_entrypoint(architecture)).parameters


@cache
def _tags(name: str) -> list[str]:
    """The tags of an architecture's weights, that of `name` (or else timm's default) last. Raises ConfigError for what
    timm doesn't list."""
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models()
        near = difflib.get_close_matches(architecture, known, 3) or known[:3]
        raise ConfigError(f"model.name={name}: timm has no such classifier; near: {', '.join(near)}")
    tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{architecture}.*")]
    if not tags:
        need(not tag, f"model.name={name}: timm has no weights for {architecture}; leave .{tag} out")
        return []
    need(not tag or tag in tags, f"model.name={name}: {architecture} has no weights {tag}; there are {', '.join(tags)}")
    told = timm.get_pretrained_cfg(architecture)
    last = tag or (told.tag if told is not None and told.tag in tags else tags[0])
    return [*(one for one in tags if one != last), last]


def _pretrained(config: ModelConfig, resolved: str) -> "PretrainedCfg":
    """What timm knows of these weights."""
    import timm

    architecture, tag = config.name.partition(".")[0], resolved.lower()
    told = timm.get_pretrained_cfg(f"{architecture}.{tag}") if tag in _tags(config.name) else None
    if told is None:
        raise Impossible(f"weights={tag}: timm has no such weights for {architecture}")
    return told


def _name(told: "PretrainedCfg") -> str:
    return f"{told.architecture}.{told.tag}"


def weights_file(told: "PretrainedCfg") -> Path:
    """The file of these weights: put by hand into torch's hub folder (TORCH_HOME), or the Hub's in its cache (HF_HOME),
    or downloaded there. Raises Impossible that says which file to put where."""
    if (file := _at_hand(told)) is not None:
        return file
    if not told.hf_hub_id:
        return _from_url(told, _by_hand(told, ".pth"))
    why = _no_network(told)
    if not why:
        log.info("downloading %s", hub_url(told))
        found = _from_hub(told)
        if isinstance(found, Path):
            return found
        why = found
    message = f"weights={told.tag}: can't download them for {told.architecture} ({why})"
    raise Impossible(f"{message}; put {hub_url(told)} at {_by_hand(told, '.safetensors')}")


def timm_not_checked(config: ModelConfig, resolved: str) -> str:
    """Why it isn't known whether these weights can be had, in words; empty where they can: without a download."""
    told = _pretrained(config, resolved)
    if _at_hand(told) is not None:
        return ""
    why = _no_network(told) if told.hf_hub_id else "only a download would tell"
    return f"{resolved.lower()} not checked: {_by_hand(told, '.safetensors')} is not there, and {why}" if why else ""


def _by_hand(told: "PretrainedCfg", ending: str) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / f"timm--{_name(told)}{ending}"


def _at_hand(told: "PretrainedCfg") -> Path | None:
    for ending in (".safetensors", ".bin", ".pth"):
        if (file := _by_hand(told, ending)).is_file():
            return file
    found = _from_hub(told, local_files_only=True) if told.hf_hub_id else ""
    return found if isinstance(found, Path) else None


def _no_network(told: "PretrainedCfg") -> str:
    """Why the Hub can't be asked, in words. (Its client would try for half a minute.)"""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    answer = answer_of(hub_url(told))
    return f"no network ({answer})" if isinstance(answer, str) and answer else ""


def hub_url(told: "PretrainedCfg") -> str:
    """Where the Hub (HF_ENDPOINT) has these weights."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(str(told.hf_hub_id), told.hf_hub_filename or FILES[0])


def _from_hub(told: "PretrainedCfg", local_files_only: bool = False) -> Path | str:
    """The file in the Hub's cache, or why there is none."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    why = ""
    for name in (told.hf_hub_filename,) if told.hf_hub_filename else FILES:
        try:
            return Path(hf_hub_download(str(told.hf_hub_id), name, local_files_only=local_files_only))
        except EntryNotFoundError as error:  # older ones are there as .bin only
            why = why or _first_line(error)
        except Exception as error:  # OSError, or of the transport below, whichever it is
            modules = ("huggingface_hub", "httpx", "requests", "httpcore", "urllib3")
            if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in modules:
                raise
            return _first_line(error)
    return why


def _from_url(told: "PretrainedCfg", file: Path) -> Path:
    import torch

    if not isinstance(told.url, str) or not told.url:
        raise Impossible(f"weights={told.tag}: timm knows no place of the weights of {told.architecture}")
    log.info("downloading %s to %s", told.url, file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(told.url, str(file), progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        message = f"weights={told.tag}: can't download them for {told.architecture} ({error})"
        raise Impossible(f"{message}; put {told.url} at {file}") from error
    return file
