"""How many planted twins near_copies finds, how many clean images it accuses, and how long it takes.

python -m benchmarks.audit FOLDER [--digits] [--count 10000] [--embeddings 10000]

FOLDER: photographs, of which some are planted again in each of the ways below, all ways at once, on the half that the
cut-offs were chosen on and on the other, which judges them; --digits: scikit-learn's, drawn with 64 px a side, and at
their own 8 px. --count: so many drawn pictures, for the time and the memory alone; --embeddings: so
many drawn vectors.
"""

import argparse
import io
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from training.auditing.embedding import alike_and_far
from training.data.near_copies.candidates import CLOSER_SIDE, small_grey
from training.data.near_copies.search import near_copies

PLANTED, SEED = 200, 0
Change = Callable[[Image.Image], Image.Image]


def encoded(image: Image.Image) -> Image.Image:
    """As JPEG of quality 40."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream).convert("RGB")


def cropped(image: Image.Image, random: np.random.Generator | None) -> Image.Image:
    """Nine tenths of width and height, in the middle or anywhere."""
    width, height = round(0.9 * image.width), round(0.9 * image.height)
    room = image.width - width, image.height - height
    left, top = (room[0] // 2, room[1] // 2) if random is None else (int(random.integers(r + 1)) for r in room)
    return image.crop((left, top, left + width, top + height))


def changes() -> dict[str, Change]:
    """The ways in which a twin is made."""
    random = np.random.default_rng(SEED)
    return {
        "JPEG, quality 40": encoded,
        "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR),
        "cropped by 10 %": lambda image: cropped(image, None),
        "the same, anywhere": lambda image: cropped(image, random),
        "brightened by 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        "mirrored": ImageOps.mirror,
    }


def measure(name: str, images: Sequence[Image.Image]) -> None:
    """Two lines a half: one image in two is for choosing the cut-offs, the others judge them."""
    for half, some in (("chosen on", images[::2]), ("judged on", images[1::2])):
        found_in(f"{name}, {half}", some)


def found_in(name: str, images: Sequence[Image.Image]) -> None:
    """Plant twins of all kinds at once, each of another image, and print how many are found, and how many images are
    accused of a twin that isn't theirs."""
    ways = changes()
    order = np.random.default_rng(SEED).permutation(len(images))
    each = min(PLANTED, len(images) // len(ways))
    twins = [(kind, int(order[row * each + n])) for row, kind in enumerate(ways) for n in range(each)]
    everything = [*images, *(ways[kind](images[index]) for kind, index in twins)]
    small = np.stack([small_grey(image) for image in everything])
    started, used = time.perf_counter(), time.process_time()
    found = near_copies(small, closer_look=lambda some: [small_grey(everything[one], CLOSER_SIDE) for one in some])
    wall, cpu = (1000 * seconds / len(small) for seconds in (time.perf_counter() - started, time.process_time() - used))
    pairs = {(one.first, one.second) for one in found}
    planted = {(index, len(images) + number): kind for number, (kind, index) in enumerate(twins)}
    hits = Counter(kind for pair, kind in planted.items() if pair in pairs)
    origin = [*range(len(images)), *(index for _, index in twins)]
    wrong = {index for pair in pairs - planted.keys() for index in (origin[one] for one in pair)}
    accused = f"{len(wrong)} of {len(images)} clean images accused ({100 * len(wrong) / len(images):.2f} %)"
    print(f"{name}: {accused}; {wall:.2f} ms an image ({cpu:.2f} of CPU)")
    print("  found of", each, "each:", ", ".join(f"{kind} {hits[kind]}" for kind in ways), flush=True)


def digits(side: int) -> list[Image.Image]:
    """scikit-learn's 1797."""
    from sklearn.datasets import load_digits

    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    return [Image.fromarray(one).convert("RGB").resize((side, side), Image.Resampling.BICUBIC) for one in pixels]


def time_many(count: int) -> None:
    """Smooth random pictures, some 2 % of them twice."""
    random = np.random.default_rng(SEED)
    small = np.empty((count, 32, 32), dtype=np.uint8)
    for index in range(count):
        pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
        small[index] = small_grey(Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC))
    small[-count // 50 :] = small[: count // 50]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.perf_counter(), time.process_time()
    found = near_copies(small)
    each, of_cpu = (1000 * seconds / count for seconds in (time.perf_counter() - started, time.process_time() - used))
    cost = f"{each:.2f} ms an image ({of_cpu:.2f} of CPU)"
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{count} drawn pictures: {len(found)} pairs, {cost}, {more:.0f} MB more memory")


def time_embeddings(count: int, width: int = 512) -> None:
    """Clusters of vectors, 200 of them nearly twice."""
    random = np.random.default_rng(SEED)
    centres = 2 * random.standard_normal((50, width), dtype=np.float32)
    features = np.empty((count, width), dtype=np.float32)
    for start in range(0, count, 1000):
        rows = min(1000, count - start)
        features[start : start + rows] = centres[random.integers(0, 50, rows)]
        features[start : start + rows] += random.standard_normal((rows, width), dtype=np.float32)
    features[-PLANTED:] = features[:PLANTED] + 0.05 * random.standard_normal((PLANTED, width), dtype=np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = time.process_time()
    pairs = {one.images for one in alike_and_far(features)}
    of_cpu = 1000 * (time.process_time() - used) / count
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = sum((index, count - PLANTED + index) in pairs for index in range(PLANTED))
    cost = f"{of_cpu:.2f} ms of CPU time an image, {more:.0f} MB more memory"
    print(f"{count} embeddings of {width}: {found} of {PLANTED} twins found, {cost}")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--count", type=int)
    parser.add_argument("--embeddings", type=int)
    options = parser.parse_args()
    if options.folder:
        files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
        measure(options.folder.name, [Image.open(file).convert("RGB") for file in files])
    if options.digits:
        measure("digits, 64 px", digits(64))
        measure("digits, 8 px", digits(8))
    if options.count:
        time_many(options.count)
    if options.embeddings:
        time_embeddings(options.embeddings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
