"""Which tensors of a checkpoint fit a network, and their copying into it."""

import difflib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.errors import ConfigError
from training.models.checkpoint_file import StateDict

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
# Of names: by DataParallel, Lightning and other training programs, MoCo, torch.compile; one in the other too.
PREFIXES = ("module.", "model.", "backbone.", "encoder_q.", "net.", "_orig_mod.")
AUXILIARY_HEADS = ("aux1.fc2.", "aux2.fc2.", "AuxLogits.fc.")  # of GoogLeNet and Inception v3


@dataclass(frozen=True)
class Loaded:
    """Which tensors of a network were taken from a checkpoint, and which kept their random start."""

    taken: list[str]
    fresh: list[str]
    unused: list[str]


def match(own: StateDict, state: StateDict, head: str, source: str) -> Loaded:
    """Which tensors of `state` fit those of a network, `own`. All have to, but for its `head` (a name), and what
    lies beside the network may be left over. `source`: what to call the checkpoint. Raises ConfigError."""
    fits = {name: name in state and state[name].shape == tensor.shape for name, tensor in own.items()}
    heads = (f"{head}.", *AUXILIARY_HEADS)
    for prefix in heads:  # the whole of a head, or nothing of it
        layer = [name for name in own if name.startswith(prefix)]
        if not all(fits[name] for name in layer):
            fits.update(dict.fromkeys(layer, False))
    taken = [name for name, fit in fits.items() if fit]
    fresh = [name for name, fit in fits.items() if not fit]
    body = [name for name in fresh if not name.startswith(heads) and not name.endswith("num_batches_tracked")]
    if body:
        name = body[0]
        found = (
            f"has shape {list(state[name].shape)} there" if name in state else f"is missing there{_near(name, state)}"
        )
        wanted = f"{name} {list(own[name].shape)} {found}"
        message = f"{len(own) - len(fresh)} of {len(own)} tensors fit this model; {wanted}"
        raise ConfigError(f"{source}: a checkpoint of another architecture: {message}")
    unused = sorted(set(state) - set(taken))
    parts = {name.partition(".")[0] for name in own}  # a projection beside them may be left out, a layer in them not
    more = [name for name in unused if name not in own and name.partition(".")[0] in parts]
    if more := [name for name in more if not name.startswith(heads)]:
        message = f"{len(more)} of its tensors have no place in this model, the first is {more[0]}"
        raise ConfigError(f"{source}: a checkpoint of another architecture: {message}")
    return Loaded(taken, fresh, unused)


def _near(name: str, state: StateDict) -> str:
    """What there is instead, for a message."""
    names = sorted(state)
    near = difflib.get_close_matches(name, names, 1)
    first = ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3))
    return f", the nearest is {near[0]}" if near else f", where there are {first}"


def without_prefix(own: StateDict, state: StateDict) -> StateDict:
    """`state` without the prefix (PREFIXES, or several of them) that hides most of the names in `own`."""
    found: dict[str, int] = {"": 0}
    for name in state:
        start = ""
        while True:
            found[start] = found.get(start, 0) + (name[len(start) :] in own)
            more = [prefix for prefix in PREFIXES if name.startswith(prefix, len(start))]
            if not more:
                break
            start += more[0]
    best = max(found, key=lambda start: found[start])  # the shortest of equals: they come first
    if not best:
        return state
    others = {name: tensor for name, tensor in state.items() if not name.startswith(best)}
    return others | {name[len(best) :]: tensor for name, tensor in state.items() if name.startswith(best)}


def check_numbers(own: StateDict, state: StateDict, taken: list[str], source: str) -> None:
    """Raise ConfigError where what would be taken are no weights: integers, or not a number."""
    for name in taken:
        tensor = state[name]
        if own[name].is_floating_point() and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ConfigError(f"{source}: {name} is {kind}, expected floating-point weights (not quantized ones)")
        if tensor.is_floating_point() and not tensor.is_meta and bool(tensor.isnan().any()):
            raise ConfigError(f"{source}: {name} holds NaN (not a number), so nothing can be trained from it")


def put(model: "torch.nn.Module", tensors: StateDict) -> None:
    """Copy tensors into `model`. (Its own state dict says of which version the names are, which MNASNet wants.)"""
    content = model.state_dict()
    content.update(tensors)
    model.load_state_dict(content)


def load_into(model: "torch.nn.Module", state: StateDict, head: str, source: str) -> Loaded:
    """Copy what fits into `model`; a head of another size keeps its random start. Logs what was taken and what not."""
    own = model.state_dict()
    state = without_prefix(own, state)
    loaded = match(own, state, head, source)
    check_numbers(own, state, loaded.taken, source)
    put(model, {name: state[name] for name in loaded.taken})
    total = len(loaded.taken) + len(loaded.fresh)
    but = f", all but {', '.join(loaded.fresh)}, which start fresh" if loaded.fresh else ""
    log.info("%s: took %d of %d tensors%s", source, len(loaded.taken), total, but)
    if loaded.unused:
        log.info("%s: left unused: %s", source, ", ".join(loaded.unused))
    return loaded
