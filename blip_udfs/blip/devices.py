"""What the session wants -> the device, number type and threads that this process computes with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from blip_udfs.blip.checkpoint import ModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}


AVAILABLE: dict[str, Callable[[], bool]] = {  # asked only when it must be: CUDA, once asked, breaks in forked workers
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "cpu": lambda: True,
}


def choose_device(device: str) -> torch.device:
    if device == "auto":
        device = next(name for name, works in AVAILABLE.items() if works())
    if not AVAILABLE.get(device.partition(":")[0], lambda: False)():
        works = ", ".join(name for name, is_here in AVAILABLE.items() if is_here())
        raise ModelError(f"device '{device}' is not available here, only {works}; SET spark.blip.device = auto")
    return torch.device(device)


def device_of_task(device: str, gpus: Sequence[str]) -> str:
    """`device`, or of the GPUs that Spark gave the task (spark.task.resource.gpu.amount) the first: the node's others
    are other tasks'."""
    taken = gpus and device in ("auto", "cuda") and torch.cuda.is_available()
    return f"cuda:{gpus[0]}" if taken else device


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if dtype not in DTYPES:
        raise ModelError(f"dtype '{dtype}': expected auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]


def set_threads(threads: int) -> None:
    """How many threads one forward pass may use: a task's cores, so that parallel workers do not fight for them."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def decoders(device: str, few: int) -> int:
    """Threads that read and decode images while the model works: `few` where it computes on the same cores, else as
    many as the task has, for a GPU encodes more images than they decode."""
    return few if device == "cpu" else max(few, torch.get_num_threads())


def as_exact_as_said(device: torch.device) -> None:
    """float32 is float32: of the convolution that takes patches cuDNN would else drop 13 of 23 bits."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False


def batch_size(device: str) -> int:
    """Images per forward pass that suit the device: beyond it nothing is gained but memory is needed."""
    return BATCH_SIZES[torch.device(device).type]
