"""A forward pass that does not fit the device's memory -> the same rows in smaller ones, from then on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from blip_udfs.blip.checkpoint import ModelError

SAYS = (
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "out of memory",
)  # of errors without a type of theirs


@dataclass
class Fitting:
    """Runs passes of any number of rows; `most`, by the kind of pass, is what the device is known to hold."""

    device: torch.device
    most: dict[str, int] = field(default_factory=dict)

    def __call__(self, kind: str, rows: int, forward: Callable[[slice], np.ndarray]) -> np.ndarray:
        """`forward` of all rows, or of one part after the other where the device has not the memory for all. `kind`
        names a row in the plural. Raises ModelError when not one row fits."""
        parts: list[np.ndarray] = []
        done = 0
        while done < rows or not parts:
            count = min(rows - done, self.most.get(kind, rows))
            part = tried(forward, slice(done, done + count))
            if part is None:
                self.halve(kind, count)
            else:
                parts.append(part)
                done += count
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def halve(self, kind: str, count: int) -> None:
        if count < 2:
            raise ModelError(
                f"{self.device} has not the memory for one of the {kind}: SET spark.blip.dtype = bfloat16 or float16, "
                "give the GPU to fewer tasks, or SET spark.blip.device = cpu"
            )
        self.most[kind] = count // 2
        said = f"{self.device} has not the memory for {count} {kind} in one pass, goes on with {count // 2}"
        print(f"blip_udfs: {said}; a lower spark.blip.batchSize asks for less", file=sys.stderr)


def tried(forward: Callable[[slice], np.ndarray], part: slice) -> np.ndarray | None:
    """None where the device's memory is too small."""
    try:
        return forward(part)
    except RuntimeError as error:  # of which torch's OutOfMemoryError is one
        if not is_out_of_memory(error):
            raise
    # only here: the error's frames held the tensors that are in the way
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in SAYS)
