"""Any image to upright RGB of one size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import fresh as fresh
from pictures import opened, tree
from PIL import ExifTags, Image

from training.data.files.decoding import load_image, stored, to_rgb
from training.data.image_store import ImageStore
from training.schema.data_config import DataConfig


def colour(image: Image.Image) -> tuple[int, ...]:
    """The one colour of an image."""
    rgb = to_rgb(image)
    assert rgb.mode == "RGB"
    (found,) = np.unique(np.asarray(rgb).reshape(-1, 3), axis=0)
    return tuple(found.tolist())


def plain(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (4, 3), value)


def palette(**info: Any) -> Image.Image:
    image = plain("P", 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    image.info.update(info)
    return image


@pytest.mark.parametrize(
    "image, expected",
    [
        (plain("RGB", (1, 2, 3)), (1, 2, 3)),
        (plain("L", 77), (77, 77, 77)),
        (plain("1", 1), (255, 255, 255)),
        (plain("LA", (50, 255)), (50, 50, 50)),
        (plain("LA", (50, 0)), (255, 255, 255)),
        (plain("La", (50, 255)), (50, 50, 50)),
        (plain("RGBA", (10, 20, 30, 255)), (10, 20, 30)),
        (plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        (plain("RGBA", (0, 0, 255, 51)), (204, 204, 255)),
        (plain("RGBa", (0, 0, 51, 51)), (204, 204, 255)),
        (palette(), (200, 100, 50)),
        (palette(transparency=1), (255, 255, 255)),
        (palette(transparency=0), (200, 100, 50)),
        (palette(transparency=b"\0\0"), (255, 255, 255)),
        (palette().convert("PA"), (200, 100, 50)),
        (plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (plain("YCbCr", (100, 128, 128)), (100, 100, 100)),
        (plain("HSV", (0, 255, 255)), (255, 0, 0)),
        (plain("LAB", (255, 128, 128)), (255, 255, 255)),
        (plain("I;16", 0x8012), (128, 128, 128)),
        (plain("I;16B", 0xFFFF), (255, 255, 255)),
        (plain("I", 0x0100), (1, 1, 1)),
        (plain("I", 1 << 20), (255, 255, 255)),
        (plain("I", -5), (0, 0, 0)),
        (plain("F", 0.5), (128, 128, 128)),
        (plain("F", 200.0), (200, 200, 200)),
        (plain("F", 1e9), (255, 255, 255)),
        (plain("F", float("nan")), (0, 0, 0)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "-".join(map(str, value)),
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, ...]) -> None:
    assert colour(image) == pytest.approx(expected, abs=1)  # LAB's arithmetic rounds


@pytest.mark.parametrize(
    "name, image, expected",
    [
        ("16-bit.png", plain("I;16", 0xC000), (192, 192, 192)),
        ("16-bit.tif", plain("I;16", 0xC000), (192, 192, 192)),
        ("16-bit.pgm", plain("I", 0xC000), (192, 192, 192)),
        ("float.tif", plain("F", 0.25), (64, 64, 64)),
        ("cmyk.jpg", plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        ("cmyk.tif", plain("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        ("grey.jpg", plain("L", 90), (90, 90, 90)),
        ("alpha.webp", plain("RGBA", (10, 20, 30, 0)), (255, 255, 255)),
        ("bits.bmp", plain("1", 0), (0, 0, 0)),
        ("lab.tif", plain("LAB", (0, 128, 128)), (0, 0, 0)),
    ],
)
def test_every_mode_survives_a_file(tmp_path: Path, name: str, image: Image.Image, expected: tuple[int, ...]) -> None:
    image.save(tmp_path / name)
    assert colour(load_image(tmp_path / name)) == pytest.approx(expected, abs=1)


def test_transparency_by_colour_key_and_by_palette_in_files(tmp_path: Path) -> None:
    plain("L", 7).save(tmp_path / "key.png", transparency=7)
    plain("RGB", (1, 2, 3)).save(tmp_path / "rgb.png", transparency=(1, 2, 3))
    palette().save(tmp_path / "palette.png", transparency=1)
    palette().save(tmp_path / "palette.gif", transparency=1)
    for file in tmp_path.iterdir():
        assert colour(load_image(file)) == (255, 255, 255), file


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [plain("RGB", value) for value in ("red", "blue")]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert colour(load_image(tmp_path / name)) == (255, 0, 0), name


UPRIGHT = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
TURNED = {  # how the pixels lie in a file that says so (EXIF 2.3, 4.6.4 A)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_exif_orientation_is_undone_once(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / f"turned.{ending}"
    lossless: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(np.ascontiguousarray(TURNED[orientation])).save(file, exif=exif, **lossless)
    image = load_image(file)
    assert np.array_equal(np.asarray(image), UPRIGHT)
    assert np.array_equal(np.asarray(to_rgb(image.copy())), UPRIGHT)
    with Image.open(file) as raw:
        assert np.array_equal(np.asarray(to_rgb(raw)), UPRIGHT)


def test_a_turned_photograph_is_upright_in_the_store(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 3, "b": 3})
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16, :16] = 250  # the upper left quarter is bright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "a/00.jpg", exif=exif, quality=100)
    dataset = opened(tmp_path)
    batch = ImageStore(dataset, DataConfig(size=16)).batch(np.array([0]))[0]
    assert batch[:7, :7].min() > 200 and batch[9:, :].max() < 50 and batch[:, 9:].max() < 50


def test_broken_exif_does_not_spoil_an_image(tmp_path: Path) -> None:
    plain("RGB", "red").save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff")
    assert colour(load_image(tmp_path / "x.png")) == (255, 0, 0)


def test_what_is_no_image_at_all(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ndarray"):
        to_rgb(np.zeros((4, 4)))  # type: ignore[arg-type]
    with pytest.raises(OSError, match=rf"{tmp_path}/gone.png: no such file"):
        load_image(tmp_path / "gone.png")


# ---- one size


def test_stretch_takes_everything_and_crop_the_middle() -> None:
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:40, 1] = pixels[:, 40:, 2] = 255
    image = Image.fromarray(pixels)
    crop = stored(image, DataConfig(size=14, resize="crop"))
    assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8  # 14 / 0.875
    assert (crop[:, 1:-1] == (0, 255, 0)).all()
    stretch = stored(image, DataConfig(size=15, resize="stretch"))
    assert stretch.shape == (15, 15, 3)
    assert [stretch[7, column].tolist() for column in (1, 7, 13)] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert stored(image, DataConfig(size=15, stored_size=40)).shape == (40, 40, 3)
    assert (stored(plain("LA", (0, 0)), DataConfig()) == 255).all()  # put right even if nobody did before


@pytest.mark.parametrize("size", [(64, 32), (32, 64)])
def test_crop_is_resize_and_then_centre(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    whole = np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR))
    top, left = (whole.shape[0] - 16) // 2, (whole.shape[1] - 16) // 2
    found = stored(image, DataConfig(size=16, stored_size=16, resize="crop"))
    expected = whole[top : top + 16, left : left + 16].astype(int)
    assert np.abs(found - expected).max() <= 1  # Pillow rounds between its two passes


def test_shrinking_does_not_alias() -> None:
    board = np.indices((128, 128)).sum(0) % 2 * 255
    found = stored(Image.fromarray(board.astype(np.uint8)), DataConfig(size=16))
    assert found.min() >= 120 and found.max() <= 135


def test_a_panorama_of_one_pixel_height_is_no_problem() -> None:
    assert stored(Image.new("RGB", (60000, 1)), DataConfig(size=224, resize="crop")).shape == (256, 256, 3)
