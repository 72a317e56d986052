"""x W^T + b by the faster of two ways, which one is measured on each machine once and noted for later processes.

`fused` is oneDNN's operator, the one that torch.compile puts in the place of these: it adds the bias and applies GELU
while the result is in registers. `plain` is F.linear, whose product is MKL's: it copies the bias into the result first,
and GELU reads the result again, but where a processor has no AVX-512 its product may be a third faster.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blip_udfs.files import notes

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
FUSED, PLAIN = "fused", "plain"
ROUNDS = 3  # of each way, after one that warms up
WORTH = 0.95  # of fused's time, which plain must stay under: else a measurement's noise would choose
NAMED = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU part",
    "Features",
)
FORCED = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")  # by which users make it another

_settled: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # part -> threads with which its way was chosen


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none", way: str = FUSED) -> Tensor:
    """x W^T + b and then `activation`, none or gelu: (..., K), (N, K), (N,) -> (..., N)."""
    if way == FUSED and serves(x) and not torch.jit.is_tracing():  # a trace is for other engines
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "none")
    out = F.linear(x, weight, bias)
    return F.gelu(out) if activation == "gelu" else out


def serves(x: Tensor) -> bool:
    """Whether there is a choice."""
    return ONEDNN and x.is_cpu and x.dtype == torch.float32


class Linear(nn.Linear):
    way = FUSED

    def __init__(self, width: int, out_width: int, activation: str = "none"):
        super().__init__(width, out_width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias, self.activation, self.way)


def settle(part: nn.Module, sample: Callable[[], object]) -> None:
    """Before a forward pass of `part`: its way, once per process and number of threads. `sample` runs a little of it.

    Never before a fork: it computes.
    """
    threads = torch.get_num_threads()
    if _settled.get(part) == threads or not serves(next(part.parameters())):
        return
    chosen = notes.once("products", conditions(part, threads), lambda: faster(part, sample))
    use(part, PLAIN if chosen == PLAIN else FUSED)  # whatever else somebody may have written there
    _settled[part] = threads


def faster(part: nn.Module, sample: Callable[[], object]) -> str:
    """By the processor's time of this thread, which other processes and this one's decoders do not lengthen."""
    seconds: dict[str, list[float]] = {FUSED: [], PLAIN: []}
    for turn in range(ROUNDS + 1):
        for way, taken in seconds.items():
            use(part, way)
            began = time.thread_time()
            sample()
            if turn:
                taken.append(time.thread_time() - began)
    return PLAIN if min(seconds[PLAIN]) < WORTH * min(seconds[FUSED]) else FUSED


def use(part: nn.Module, way: str) -> None:
    for layer in linears(part):
        layer.way = way


def linears(part: nn.Module) -> list[Linear]:
    return [layer for layer in part.modules() if isinstance(layer, Linear)]


def conditions(part: nn.Module, threads: int) -> str:
    """All that the answer depends on."""
    shapes = [tuple(layer.weight.shape) for layer in linears(part)]
    capability = [torch.backends.cpu.get_cpu_capability(), *(os.environ.get(name, "") for name in FORCED)]
    return f"{type(part).__name__} {shapes} {threads} {torch.__version__} {capability}\n{processor()}"


def processor() -> str:
    """The first one's name, model and instructions, as far as the system says them."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return f"{platform.machine()} {platform.processor()}"
    first = file.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.partition(":")[0].strip() in NAMED)
