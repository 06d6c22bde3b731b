"""Sound images with odd descriptions are read; damaged ones are not. And what decoding takes of the memory."""

import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from pictures import fresh as fresh
from pictures import opened, plain_fingerprint, tree, write
from PIL import Image, TiffImagePlugin

from training.data.files import decode_memory
from training.data.files.decoding import BadImage, load_image, reduction, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
LARGE = b"x" * 3_000_000


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png(*chunks: bytes, at: int = 33) -> bytes:
    whole = saved("PNG")
    at = at % len(whole)
    return whole[:at] + b"".join(chunks) + whole[at:]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments: bytes) -> bytes:
    whole = saved("JPEG", quality=95)
    return whole[:2] + b"".join(segments) + whole[2:]


def tiff(tag: int, value: object) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = value
    return saved("TIFF", tiffinfo=tags)


SOUND = {
    "large-compressed-text.png": png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LARGE))),
    "large-international-text.png": png(chunk(b"iTXt", b"C\0\1\0\0\0" + zlib.compress(LARGE))),
    "many-texts.png": png(*[chunk(b"tEXt", b"C%d\0" % number + LARGE) for number in range(25)]),
    "text-after-the-pixels.png": png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LARGE)), at=-12),
    "large-profile.png": png(chunk(b"iCCP", b"p\0\0" + zlib.compress(LARGE))),
    "broken-profile.png": png(chunk(b"iCCP", b"p\0\0rubbish")),
    "empty-profile.png": png(chunk(b"iCCP", b"")),
    "text-with-a-wrong-sum.png": png(chunk(b"tEXt", b"a\0b", crc=1)),
    "short-density.png": png(chunk(b"pHYs", b"\0")),
    "short-gamma.png": png(chunk(b"gAMA", b"\0")),
    "broken-exif.png": png(chunk(b"eXIf", b"rubbish")),
    "broken-animation.png": png(chunk(b"acTL", b"\0\0")),
    "more-at-the-end.png": saved("PNG") + b"more" * 99,
    "broken-exif.jpg": jpeg(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff")),
    "broken-photoshop.jpg": jpeg(segment(0xED, b"Photoshop 3.0\x008BIM\x04")),
    "broken-frames.jpg": jpeg(segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x05\0" + b"\xff" * 40)),
    "short-adobe.jpg": jpeg(segment(0xEE, b"Adobe\0")),
    "short-jfif.jpg": jpeg(segment(0xE0, b"JFIF")),
    "broken-profile.jpg": jpeg(segment(0xE2, b"ICC_PROFILE\0\5\2xx")),
    "long-comments.jpg": jpeg(*[segment(0xFE, b"x" * 65000)] * 20),
    "more-at-the-end.jpg": saved("JPEG", quality=95) + b"\0" * 5000,
    "private-tag.tif": tiff(65000, b"\1" * 100000),
    "odd-orientation.tif": tiff(274, 77),
    "odd-date.tif": tiff(306, "not a date"),
    "long-description.tif": tiff(270, "x" * 2_000_000),
    "odd-photoshop.tif": tiff(34377, b"8BIMx"),
    "odd-profile.tif": tiff(34675, b"rubbish"),
    "two-pages.tif": saved("TIFF", save_all=True, append_images=[Image.new("L", (3, 3))]),
    "odd-descriptions.webp": saved("WEBP", lossless=True, exif=b"Exif\0\0?", icc_profile=b"?", xmp=b"x" * 100000),
    "more-at-the-end.bmp": saved("BMP") + b"more",
}
DAMAGED = {
    "half.png": saved("PNG")[:3000],
    "half-with-large-text.png": png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LARGE)))[:-2000],
    "broken-pixels.png": saved("PNG")[:200] + b"\0\1\2\3" + saved("PNG")[204:],
    "half.jpg": saved("JPEG")[:900],
    "half-short-adobe.jpg": jpeg(segment(0xEE, b"Adobe\0"))[:900],
    "half.tif": saved("TIFF")[:3000],
    "half.webp": saved("WEBP", lossless=True)[:3000],
    "text.png": b"no image",
}


OTHERS = {
    "empty.png": (b"", "an empty file"),
    "cut off.jpg": (b"\0" * 5000, "nothing but zeros"),
    "iphone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photo"),
    "raw.tif": (b"\0\0\0\x18ftypcrx \0\0\0\1", "a RAW photo"),
    "film.jpg": (b"\0\0\0\x18ftypisom\0\0\2\0", "a video"),
    "document.png": (b"%PDF-1.7\n", "a PDF"),
    "drawing.png": (b'\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "page.jpg": (b"<!DOCTYPE html>\n<html></html>", "an HTML page"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "packed.png": (b"PK\3\4" + b"x" * 50, "a zip archive"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_image_is_told_by_name(tmp_path: Path, name: str) -> None:
    content, words = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadImage, match=f"{name}: {words}"):
        load_image(tmp_path / name)


def test_several_frames_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(tmp_path, {"a": 4, "b": 4})
    frames = [Image.new("RGB", (6, 6), (50 * n, 9, 9)) for n in range(3)]
    for name in ("film.gif", "film.webp", "pages.tif", "film.png"):
        frames[0].save(root / "a" / name, save_all=True, append_images=frames[1:])
    frames[0].save(root / "b/one.gif")
    frames[0].save(root / "b/phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
    for _ in range(2):  # found out, and known from the cache
        dataset = opened(root)
        assert dataset.reading.frames == ("a/film.gif", "a/film.png", "a/film.webp", "a/pages.tif")
        assert "4 file(s) with several frames or pages" in caplog.text and "a/film.gif" in caplog.text
        assert dataset.load(dataset.names.index("a/film.png")).getpixel((0, 0)) == (0, 9, 9)
        caplog.clear()


@pytest.mark.parametrize("name", SOUND)
def test_sound_images_with_odd_descriptions_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SOUND[name])
    expected = np.asarray(Image.open(io.BytesIO(saved("JPEG", quality=95)))) if name.endswith("jpg") else PIXELS
    found = np.asarray(load_image(tmp_path / name))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (4 if name.endswith("jpg") else 0)


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_images_are_not(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name])
    with pytest.raises(BadImage, match=name):
        load_image(tmp_path / name)


def test_which_way_is_up_and_transparency_outlive_a_large_text(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((30, 20, 4), np.uint8)
    pixels[:10] = 255
    whole = saved("PNG", Image.fromarray(np.rot90(pixels).copy()), exif=exif)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(LARGE))
    (tmp_path / "plain.png").write_bytes(whole)
    (tmp_path / "large.png").write_bytes(whole[:33] + text + whole[33:])
    found, plain = load_image(tmp_path / "large.png"), load_image(tmp_path / "plain.png")
    assert found.size == (20, 30) and np.array_equal(np.asarray(found), np.asarray(plain))


# ---- large ones


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "L", "RGB", "I;16", "F", "PA", "CMYK"])
def test_large_images_are_converted_in_strips_to_the_same_pixels(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (57, 40, 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    if mode in ("I;16", "F"):
        image = Image.fromarray(pixels[..., 0].astype({"I;16": np.uint16, "F": np.float32}[mode]) * 200)
    elif mode != "RGBA":
        image = image.convert("RGB").quantize(16).convert(mode) if mode in ("P", "PA") else image.convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(0, 240, 15))
    ranges = {"integer": (0.0, 51000.0)} if mode == "I;16" else {}
    whole = np.asarray(to_rgb(image.copy(), ranges))
    monkeypatch.setattr("training.data.files.decoding.STRIP", 300)
    assert np.array_equal(np.asarray(to_rgb(image, ranges)), whole)


def test_what_is_a_giant() -> None:
    assert [reduction(size) for size in ((7000, 7000), (7100, 7100), (16000, 16000), (10**8, 1))] == [1, 2, 4, 2]


PEAK = """
import resource, sys
from pathlib import Path
from training.data.files.decoding import read_image
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before = peak()
image = read_image(Path(sys.argv[1]))
print(*image.size, (peak() - before) // 2**20)
"""


@pytest.mark.parametrize(
    "name, mode, side, expected, most",
    [
        ("palette.png", "P", 6000, 6000, 300),  # of 36 million pixels: 430 MB before
        ("transparent.png", "P", 6000, 6000, 300),
        ("giant.png", "P", 8000, 4000, 250),
        ("giant.jpg", "RGB", 8000, 4000, 250),
        ("giant.gif", "P", 8000, 4000, 250),
    ],
)
def test_memory_that_large_images_take(
    tmp_path: Path, name: str, mode: str, side: int, expected: int, most: int
) -> None:
    image = Image.new(mode, (side, side), 1 if mode == "P" else (200, 100, 50))
    if mode == "P":
        image.putpalette([9, 9, 9, 200, 100, 50])
    image.save(tmp_path / name, **({"transparency": 0} if name.startswith("transparent") else {}))
    command = [sys.executable, "-c", PEAK, str(tmp_path / name)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    width, height, megabytes = map(int, done.stdout.split())
    assert (width, height) == (expected, expected) and megabytes < most


def test_a_giant_is_another_fingerprint_for_its_own_data_set_alone(tmp_path: Path) -> None:
    for label in "ab":
        for number in range(4):
            write(tmp_path / label / f"{number}.png")
    without = opened(tmp_path)
    assert without.former == () and without.fingerprint == plain_fingerprint(without, tmp_path)
    Image.new("1", (7200, 7200), 1).save(tmp_path / "a/giant.png")
    for _ in range(2):  # the second time from the cache
        dataset = opened(tmp_path)
        assert dataset.reading.giants == ("a/giant.png",)
        assert (
            [one.fingerprint for one in dataset.former]
            == [plain_fingerprint(dataset, tmp_path)]
            != [dataset.fingerprint]
        )


def test_threads_wait_for_memory_and_a_large_one_comes_alone() -> None:
    decode_memory.set_limit(1e-6)  # 1000 bytes
    lock, now, most, alone = threading.Lock(), [0], [0], []

    def work(size: int) -> None:
        for _ in range(30):
            with decode_memory.held():
                decode_memory.take(size)
                decode_memory.take(1)  # a second one of the same thread doesn't wait
                with lock:
                    now[0] += size
                    most[0] = max(most[0], now[0])
                    if size > 1000:
                        alone.append(now[0] == size)
                with lock:
                    now[0] -= size

    threads = [threading.Thread(target=work, args=(size,)) for size in (300, 300, 300, 400, 5000)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert most[0] == 5000 and len(alone) == 30 and all(alone)
    finally:
        decode_memory.set_limit(4)
