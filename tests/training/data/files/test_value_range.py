"""Grey of 16 and 32 bits and floats: the range of values that a data set is read by."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import fresh as fresh
from pictures import opened, plain_fingerprint, problem, write
from PIL import Image

from training.data.dataset import Dataset
from training.data.files.decoding import load_image, stored

RAMP = np.tile(np.linspace(0, 1, 48), (48, 1))
Make = Callable[[np.ndarray], np.ndarray]


def as_u16(top: float) -> Make:
    return lambda ramp: (ramp * top).astype(np.uint16)


def as_f32(low: float, high: float) -> Make:
    return lambda ramp: (low + ramp * (high - low)).astype(np.float32)


def as_i32(low: float, high: float) -> Make:
    return lambda ramp: (low + ramp * (high - low)).astype(np.int32)


def with_pixels(make: Make, *values: float) -> Make:
    def made(ramp: np.ndarray) -> np.ndarray:
        pixels = make(ramp)
        for place, value in enumerate(values):
            pixels[7 + 5 * place, 11 + 3 * place] = value
        return pixels

    return made


def big_endian(make: Make) -> Make:
    return lambda ramp: make(ramp).astype(">u2")


def images(root: Path, ending: str, make: Make, count: int = 5) -> Path:
    """Ramps that reach the ends of the range, each of other pixels, in two classes."""
    for label in "ab":
        (root / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            ramp = np.roll(RAMP if label == "a" else RAMP.T, number, axis=(0, 1))
            Image.fromarray(make(ramp)).save(root / label / f"{number:03}.{ending}")
    return root


def seen(dataset: Dataset, index: int = 0) -> np.ndarray:
    return np.asarray(dataset.load(index))[..., 0]


def earlier(file: Path) -> np.ndarray:
    """What earlier versions read: a rule by the mode of the file."""
    with Image.open(file) as image:
        values = np.asarray(image)
        if image.mode == "F":
            values = np.nan_to_num(values)
            return np.clip(np.rint(values * (255 if values.max() <= 1 else 1)), 0, 255).astype(np.uint8)
        return (np.clip(values, 0, 65535) // 256).astype(np.uint8)


@pytest.mark.parametrize(
    "ending, make, kind, expected",
    [
        ("png", as_u16(255), "integer", (0, 255)),
        ("png", as_u16(1023), "integer", (0, 1023)),
        ("png", as_u16(4087), "integer", (0, 4095)),
        ("tif", as_u16(16000), "integer", (0, 16383)),
        ("png", with_pixels(as_u16(4095), 65535, 65000, 60000), "integer", (0, 4095)),
        ("tif", big_endian(as_u16(4095)), "integer", (0, 4095)),
        ("tif", as_i32(0, 255), "integer", (0, 255)),
        ("tif", as_i32(-1000, 1000), "integer", (-1000, 1000)),
        ("tif", as_i32(-1024, 3071), "integer", (-1024, 3071)),
        ("tif", with_pixels(as_i32(-1000, 1000), -32768, 32767), "integer", (-1000, 1000)),
        ("tif", as_i32(0, 1_000_000), "integer", (0, 2**20 - 1)),
        ("tif", as_f32(0, 1.02), "float", (0, 1)),
        ("tif", as_f32(-0.02, 1.05), "float", (0, 1)),
        ("tif", as_f32(-1, 1), "float", (-1, 1)),
        ("tif", as_f32(0, 65535), "float", (0, 65535)),
        ("tif", as_f32(-1000, 1000), "float", (-1000, 1000)),
        ("tif", with_pixels(as_f32(0, 1), np.inf), "float", (0, 1)),
        ("tif", with_pixels(as_f32(0, 65535), np.inf, -np.inf, np.nan), "float", (0, 65535)),
        ("tif", with_pixels(as_f32(0, 1), 3000.0), "float", (0, 1)),
    ],
)
def test_what_was_read_as_another_range_gets_its_own_and_another_fingerprint(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    ending: str,
    make: Make,
    kind: str,
    expected: tuple[float, float],
) -> None:
    images(tmp_path, ending, make)
    with caplog.at_level(logging.INFO):
        dataset = opened(tmp_path)
    assert dataset.reading.ranges == {kind: expected}
    for index in range(3):
        pixels = seen(dataset, index)
        assert pixels.min() <= 1 and pixels.max() >= 240
        assert len(np.unique(pixels)) >= 45  # of 48
    assert f"read as {expected[0]}..{expected[1]}" in caplog.text
    before = plain_fingerprint(dataset, tmp_path)
    assert dataset.fingerprint != before and [one.fingerprint for one in dataset.former] == [before]
    assert "read as" in dataset.former[0].why


@pytest.mark.parametrize(
    "ending, make",
    [
        ("png", as_u16(65535)),
        ("png", as_u16(20000)),
        ("tif", big_endian(as_u16(65535))),
        ("tif", as_i32(0, 65535)),
        ("tif", as_f32(0, 1)),
        ("tif", as_f32(0, 0.3)),
        ("tif", as_f32(0, 255)),
        ("tif", as_f32(0, 40)),
        ("tif", with_pixels(as_f32(0, 1), np.nan)),
        ("tif", with_pixels(as_f32(0, 255), np.inf, -np.inf, np.nan)),
        ("tif", lambda ramp: np.full((8, 8), 0.5 + ramp[3, 3] / 4, np.float32)),
        ("png", lambda ramp: (ramp * 255).astype(np.uint8)),
    ],
)
def test_what_was_read_rightly_keeps_its_pixels_and_its_fingerprint(tmp_path: Path, ending: str, make: Make) -> None:
    images(tmp_path, ending, make)
    dataset = opened(tmp_path)
    for index, name in enumerate(dataset.names):
        if ending == "tif" or dataset.reading.ranges:
            assert np.array_equal(seen(dataset, index), earlier(tmp_path / name)), name
    assert dataset.fingerprint == plain_fingerprint(dataset, tmp_path)
    assert dataset.former == ()


def test_8_bit_images_stay_as_they_are_beside_deep_ones(tmp_path: Path) -> None:
    images(tmp_path, "png", as_u16(4095))
    grey = (RAMP * 100).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a/eight.png")
    images(tmp_path / "c", "tif", as_f32(0, 1))
    for part in "ab":
        (tmp_path / f"c/{part}").rename(tmp_path / f"f{part}")
    (tmp_path / "c").rmdir()
    dataset = opened(tmp_path)
    assert dataset.reading.ranges == {"integer": (0, 4095), "float": (0, 1)}
    assert np.array_equal(seen(dataset, dataset.names.index("a/eight.png")), grey)


def test_the_range_is_one_for_all_images_in_whatever_order(tmp_path: Path) -> None:
    images(tmp_path / "one", "png", as_u16(4095))
    Image.fromarray(np.full((8, 8), 900, np.uint16)).save(tmp_path / "one/a/dark.png")
    dataset = opened(tmp_path / "one")
    dark = dataset.names.index("a/dark.png")
    assert np.unique(seen(dataset, dark)).tolist() == [round(900 * 255 / 4095)]
    for label in "ba":  # written in another order
        for file in sorted((tmp_path / "one" / label).iterdir(), reverse=True):
            (tmp_path / "two" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "two" / label / file.name).write_bytes(file.read_bytes())
    again = opened(tmp_path / "two")
    assert (again.reading.ranges, again.fingerprint) == (dataset.reading.ranges, dataset.fingerprint)


def test_a_range_that_was_asked_for(tmp_path: Path) -> None:
    images(tmp_path, "tif", as_i32(-1000, 1000))
    auto, asked = opened(tmp_path), opened(tmp_path, value_range=[-160, 240])
    assert seen(asked).min() == 0 and seen(asked).max() == 255 and len(np.unique(seen(asked))) < 15
    assert len({auto.fingerprint, asked.fingerprint, *(one.fingerprint for one in auto.former)}) == 3
    assert opened(tmp_path, value_range=[-1000, 1000]).fingerprint == auto.fingerprint
    assert opened(tmp_path, value_range=[0, 65535]).fingerprint == auto.former[0].fingerprint  # as once read


@pytest.mark.parametrize(
    "value", [[1, 0], [0, 0], [0], [0, 1, 2], "wide", 5, None, True, [0, "x"], [0, float("nan")], [0, float("inf")]]
)
def test_a_range_that_is_none(value: Any) -> None:
    line = "expected auto or [lo, hi], two finite numbers with lo < hi"
    assert line in problem(Path("anywhere"), value_range=value)


def test_images_of_one_colour_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in "ab":
        for number in range(4):
            write(tmp_path / label / f"{number}.png")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a/red.png")
    Image.new("L", (9, 9), 0).save(tmp_path / "b/black.png")
    glyph = np.full((16, 16, 4), 255, np.uint8)
    glyph[:8, :, 3] = 0
    Image.fromarray(glyph).save(tmp_path / "b/glyph.png")
    grey_glyph = np.full((16, 16, 2), 255, np.uint8)
    grey_glyph[:8, :, 1] = 60
    Image.fromarray(grey_glyph).save(tmp_path / "a/grey_glyph.png")
    Image.new("RGBA", (9, 9), "white").save(tmp_path / "a/white.png")  # opaque: nothing is hidden
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        dataset = opened(tmp_path)
        assert dataset.reading.blank == ("a/grey_glyph.png", "b/glyph.png")
        assert dataset.reading.one_colour == ("a/red.png", "a/white.png", "b/black.png")
        facts = dataset.reading.single_valued()
        assert (facts["n"], facts["blank_on_white"]) == (5, 2) and "a/red.png" in facts["names"]
        assert "3 image(s) come out in one single colour: a/red.png" in caplog.text
        assert "2 image(s) come out blank (white on transparency" in caplog.text


def test_deep_images_that_a_range_makes_one_colour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images(tmp_path, "png", as_u16(255))
    dataset = opened(tmp_path, value_range=[0, 65535])
    assert len(dataset.reading.one_colour) == 10 and "10 image(s) come out in one single colour" in caplog.text
    assert "nearly one colour" in caplog.text
    assert opened(tmp_path).reading.one_colour == ()


def test_a_file_that_stands_alone(tmp_path: Path) -> None:
    for name, pixels in {"a.png": as_u16(1023)(RAMP), "b.tif": as_i32(-1000, 1000)(RAMP)}.items():
        Image.fromarray(pixels).save(tmp_path / name)
        assert len(np.unique(np.asarray(load_image(tmp_path / name)))) == 48


def test_turned_deep_images_are_upright(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3) * 800
    for orientation, lies in {3: pixels[::-1, ::-1], 6: np.rot90(pixels), 5: pixels.T, 2: pixels[:, ::-1]}.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(lies)).save(tmp_path / "x.png", exif=exif)
        found = np.asarray(load_image(tmp_path / "x.png"))[..., 0]
        assert np.array_equal(found, np.rint(pixels * (255 / 4095)).astype(np.uint8)), orientation


def test_stored_squares_follow_the_range(tmp_path: Path) -> None:
    from training.schema.data_config import DataConfig

    image = Image.fromarray(as_u16(4095)(RAMP))
    assert stored(image, DataConfig(), {"integer": (0.0, 4095.0)}).max() > 250
    assert stored(image, DataConfig()).max() < 17  # a run of an earlier version
