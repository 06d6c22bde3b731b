"""Transforms of the user's own for training images: augment.own, a list of `_target_`s with their arguments.

Each is called with one stored image, uint8 [3, S, S] on the CPU, and gives one of the same shape; crop, flip and all
else of augment come after it. Randomness (the global generators of torch, NumPy and Python) is seeded for each image
from (seed, epoch, index of the image), so that a result depends neither on batches nor on what ran before.
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.errors import ConfigError
from training.targets import bind, locate


class UserTransforms:
    """The transforms that augment.own names, one after the other. Raises ConfigError where one can't be made."""

    def __init__(self, configs: list[dict[str, Any]]) -> None:
        self.transforms = [_build(config, f"augment.own[{number}]") for number, config in enumerate(configs)]

    def __call__(self, images: Tensor, seed: int, epoch: int, rows: np.ndarray) -> Tensor:
        """uint8 [B, 3, S, S] to the same; `rows` [B] are the images' places in the training set."""
        seeds = np.random.SeedSequence([seed, epoch, 1]).generate_state(int(rows.max()) + 1)[rows]
        pixels = images.cpu().contiguous()
        with _global_generators_restored():
            changed = [self.transformed(image, int(number)) for image, number in zip(pixels, seeds, strict=True)]
        return torch.stack(changed).to(images.device)

    def transformed(self, image: Tensor, seed: int) -> Tensor:
        """uint8 [3, S, S] to the same, with all randomness drawn from `seed`. Raises ConfigError for another result."""
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        shape = image.shape
        for number, transform in enumerate(self.transforms):
            image = transform(image)
            if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.shape != shape:
                got = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
                raise ConfigError(f"augment.own[{number}] gave {got}, expected torch.uint8 {list(shape)} as it got")
        return image

    def check(self, side: int) -> None:
        """Try it on an image of `side` px. Raises ConfigError where it fails, or isn't the same for the same seed."""
        image = torch.randint(256, (3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        try:
            with _global_generators_restored():
                first, second = (self.transformed(image.clone(), 0) for _ in range(2))
        except ConfigError:
            raise
        except Exception as error:  # whatever the user's code raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(f"augment.own fails on an image uint8 [3, {side}, {side}]: {reason}") from error
        if not torch.equal(first, second):
            raise ConfigError(
                "augment.own: the same image and seed gave two results; draw from torch's global generator "
                "(torch.rand), and keep nothing from call to call"
            )


def _build(config: dict[str, Any], key: str) -> Callable[[Tensor], Any]:
    if "_target_" not in config:
        raise ConfigError(f"{key}: expected {{_target_: module.name, argument: value, ...}}, without a _target_ in it")
    function = locate(str(config["_target_"]), key)
    arguments = {name: value for name, value in config.items() if name != "_target_"}
    bind(function, key, **arguments)
    try:
        transform = function(**arguments)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{key} can't be made: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not callable(transform):
        raise ConfigError(
            f"{key}: {config['_target_']} gave a {type(transform).__name__}, expected one to call on an image"
        )
    return transform  # type: ignore[no-any-return]


@contextlib.contextmanager
def _global_generators_restored() -> Iterator[None]:
    """What is drawn in here changes nothing of what is drawn after it."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
