"""What to do when the memory of a device is full: the same steps, in smaller pieces whose gradients are added up (as in
Ott et al. 2018, arXiv 1806.00187)."""

import torch

from training.data.resident import Batch, Slice

# What a shortage is called by the CPU's allocator, by CUDA outside torch's allocator, by cuBLAS and by cuDNN.
SHORTAGES = ("can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Whether this is a lack of memory, of a GPU or of the machine."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(words in str(error) for words in SHORTAGES)


def halved(images: int) -> int | None:
    """The next smaller piece of a batch; None where there is none. BatchNorm can't take single images."""
    return max(2, images // 2) if images > 2 else None


def pieces(batch: Batch | Slice, largest: int | None) -> list[Batch | Slice]:
    """A batch (images, labels) in equal pieces of at most `largest` images, none of which is a single one.

    Their gradients, weighted by their size, add up to that of the batch. Only BatchNorm notices: it sees the statistics
    of a piece (and so does dropout, which draws anew for each).
    """
    if largest is None:
        return [batch]
    images, labels = batch.load() if isinstance(batch, Slice) else batch
    count = len(labels)
    if count <= largest:
        return [(images, labels)]
    parts = max(1, min(-(-count // largest), count // 2))
    return list(zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True))
