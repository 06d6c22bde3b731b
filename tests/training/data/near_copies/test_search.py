"""Near copies are found, and images that are merely alike are not taken for them."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from twins import KINDS

from training.data.near_copies.candidates import CLOSER_SIDE, small_grey
from training.data.near_copies.search import groups_of, near_copies

PLANTED = 60


def digits() -> list[Image.Image]:
    """scikit-learn's, drawn with 64 px a side."""
    pixels = np.rint(load_digits().images[:500] * (255 / 16)).astype(np.uint8)
    return [Image.fromarray(one).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC) for one in pixels]


def drawn() -> list[Image.Image]:
    """Pictures of some shapes in some colours, on one ground: alike in large, each its own."""
    random = np.random.default_rng(0)
    images = []
    for _ in range(300):
        image = Image.new("RGB", (160, 120), (225, 220, 210))
        draw = ImageDraw.Draw(image)
        for _ in range(6):
            x, y, width, height = random.integers((0, 0, 10, 10), (130, 95, 70, 70)).tolist()
            colour = tuple(random.integers(0, 200, 3).tolist())
            (draw.ellipse if random.random() < 0.5 else draw.rectangle)((x, y, x + width, y + height), fill=colour)
        images.append(image)
    return images


@pytest.mark.parametrize("images", [digits(), drawn()], ids=["digits", "drawn"])
def test_planted_twins_are_found_and_clean_images_are_not_accused(images: list[Image.Image]) -> None:
    clean = np.stack([small_grey(image) for image in images])

    def closer(some: Sequence[int], planted: Sequence[Image.Image] = ()) -> list[np.ndarray]:
        return [small_grey([*images, *planted][index], CLOSER_SIDE) for index in some]

    accused = {index for twins in near_copies(clean, closer_look=closer) for index in (twins.first, twins.second)}
    assert len(accused) <= 0.01 * len(images)
    chosen = np.random.default_rng(1).choice(len(images), PLANTED, replace=False)
    for kind, change in KINDS.items():
        twins = [change(images[index]) for index in chosen]
        everything = np.concatenate([clean, [small_grey(image) for image in twins]])
        found = {(one.first, one.second) for one in near_copies(everything, closer_look=partial(closer, planted=twins))}
        right = [(int(index), len(images) + number) in found for number, index in enumerate(chosen)]
        assert sum(right) >= 0.95 * PLANTED, (kind, sum(right))


def test_pairs_that_differ_on_a_closer_look_are_left_out() -> None:
    """The same at 32 px; at 128 one has stripes that the small picture can't show."""
    image = drawn()[0].convert("L")
    small = np.stack([small_grey(image)] * 2)
    close = small_grey(image, CLOSER_SIDE)
    striped = np.clip(close.astype(int) + np.where(np.arange(CLOSER_SIDE) % 4 < 2, 25, -25), 0, 255).astype(np.uint8)
    assert len(near_copies(small, closer_look=lambda some: [close for _ in some])) == 1
    assert near_copies(small, closer_look=lambda some: [close, striped]) == []


def test_a_mirrored_twin_is_said_to_be_one() -> None:
    images = drawn()[:20]
    small = np.stack([small_grey(image) for image in images] + [small_grey(KINDS["mirrored"](images[3]))])
    (twins,) = near_copies(small)
    assert (twins.first, twins.second, twins.mirrored) == (3, 20, True)


def test_several_copies_of_one_image_are_one_group() -> None:
    images = drawn()[:40]
    copies = [KINDS[kind](images[7]) for kind in ("encoded again", "half", "brightened")]
    small = np.stack([small_grey(image) for image in [*images, *copies]])
    groups = groups_of(len(small), ((one.first, one.second) for one in near_copies(small)))
    assert np.flatnonzero(groups == 7).tolist() == [7, 40, 41, 42]
    assert len(set(groups.tolist())) == 40


def test_images_without_content_are_no_twins() -> None:
    assert near_copies(np.full((5, 32, 32), 200, dtype=np.uint8)) == []
    assert near_copies(np.empty((0, 32, 32), dtype=np.uint8)) == []
