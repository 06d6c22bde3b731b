"""A PNG or JPEG without what only describes it: Pillow refuses files for large texts or colour profiles, and for faults
in these. What says how pixels are to be read stays: transparency, the kind of colours, which way is up.

PNG specification, third edition: https://www.w3.org/TR/png-3/#13Decoders (a decoder may ignore ancillary chunks that it
can't use). JPEG: ITU-T T.81, annex B.2.4.6 (application data segments).
"""

import io
import struct
import zlib
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
KEPT_IF_SOUND = (b"tRNS", b"eXIf")  # transparency, and which way is up
START_OF_SCAN, ADOBE, COMMENT = 0xDA, 0xEE, 0xFE


def only_pixels(path: Path) -> io.BytesIO | None:
    """The file without its descriptions; None for what is neither PNG nor JPEG, or can't be read. What pixels need is
    as it was, broken or not."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if content.startswith(SIGNATURE):
        return io.BytesIO(_png(content))
    return io.BytesIO(_jpeg(content)) if content.startswith(b"\xff\xd8\xff") else None


def _png(content: bytes) -> bytes:
    kept, start = [SIGNATURE], len(SIGNATURE)
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + 12 + length
        if kind in NEEDED or (kind in KEPT_IF_SOUND and _sound(content[start:end])):
            kept.append(content[start:end])
        start = end
    return b"".join(kept)


def _sound(chunk: bytes) -> bool:
    return len(chunk) >= 12 and struct.unpack(">I", chunk[-4:])[0] == zlib.crc32(chunk[4:-4])


def _jpeg(content: bytes) -> bytes:
    """Without comments and application data, but for EXIF, and Adobe's where it is whole: it tells YCCK from CMYK."""
    kept, start = [content[:2]], 2
    while start + 4 <= len(content) and content[start] == 0xFF:
        marker, length = struct.unpack_from(">BH", content, start + 1)
        if marker == START_OF_SCAN:
            break
        segment = content[start : start + 2 + length]
        describes = 0xE0 <= marker <= 0xEF or marker == COMMENT
        exif = segment[4:10] == b"Exif\0\0"
        if not describes or exif or (marker == ADOBE and segment[4:9] == b"Adobe" and len(segment) >= 16):
            kept.append(segment)
        start += 2 + length
    return b"".join([*kept, content[start:]])
