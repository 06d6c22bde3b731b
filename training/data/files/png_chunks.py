"""A PNG without what only describes it: Pillow refuses a file for large texts, colour profiles, or faults in them.

PNG specification, third edition: https://www.w3.org/TR/png-3/#5DataRep (chunks) and #13Decoder-handling (a decoder may
ignore ancillary chunks that it can't use).
"""

import io
import struct
import zlib
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf")  # tRNS: transparency, eXIf: which way is up
MARK = (b"tRNS", b"eXIf")


def only_pixels(path: Path) -> io.BytesIO | None:
    """The chunks that pixels need, as a file; None for what is no PNG or can't be read. A broken tRNS or eXIf is left
    out, all others are as they were, broken or not."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content.startswith(SIGNATURE):
        return None
    kept, start = [SIGNATURE], len(SIGNATURE)
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + 12 + length
        if kind in NEEDED and (kind not in MARK or _sound(content[start:end])):
            kept.append(content[start:end])
        start = end
    return io.BytesIO(b"".join(kept))


def _sound(chunk: bytes) -> bool:
    return len(chunk) >= 12 and struct.unpack(">I", chunk[-4:])[0] == zlib.crc32(chunk[4:-4])
