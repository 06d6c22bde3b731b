"""What a file is that has the name of an image and that Pillow can't read: told by its first bytes."""

from pathlib import Path

CONVERT = "which Pillow can't read; convert it to JPEG or PNG"
HEIC = f"a HEIC photo, {CONVERT}"
BY_START = {
    b"version https://git-lfs": "a Git LFS pointer instead of the image; `git lfs pull` fetches it",
    b"<!doctype html": "an HTML page, as a failed download leaves it",
    b"<html": "an HTML page, as a failed download leaves it",
    b"<svg": f"an SVG drawing, {CONVERT}",
    b"<?xml": f"an XML file (a drawing, or a description), {CONVERT}",
    b"%pdf": f"a PDF, {CONVERT}",
    b"pk\x03\x04": "a zip archive; unpack it first",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"rar!": "a RAR archive; unpack it first",
    b"\xff\x0a": f"a JPEG XL image, {CONVERT}",
    b"\0\0\0\x0cjxl ": f"a JPEG XL image, {CONVERT}",
    b"\x89hdf": "an HDF5 file",
    b"\x93numpy": "a NumPy file",
    b"fujifilm": f"a RAW photo, {CONVERT}",
}
BY_BRAND = {  # of ISO media files, in bytes 8 to 12
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC),
    b"crx ": f"a RAW photo, {CONVERT}",
}


def described(path: Path) -> str:
    """What the file is, in words; empty where that can't be told."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return ""
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "nothing but zeros, as a copy that was cut off leaves it"
    if head[4:8] == b"ftyp":
        return BY_BRAND.get(head[8:12].lower(), f"a video, or an image of a kind {CONVERT.partition(';')[0]}")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    return next((words for begin, words in BY_START.items() if start.startswith(begin)), "")
