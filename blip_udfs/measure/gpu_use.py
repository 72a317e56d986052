"""What nvidia-smi says of a GPU, asked again and again while something runs -> its use over time, its memory."""

from __future__ import annotations

import statistics
import subprocess
import threading

ASKED = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
EVERY = 0.25  # seconds


class GpuUse:
    """Entered before the work and left after it: `percent` of the time that the GPU computed, and its MiB in use by all
    processes, four times a second. `gpu` is an index or UUID."""

    def __init__(self, gpu: str, every: float = EVERY) -> None:
        self.percent: list[int] = []
        self.mebibytes: list[int] = []
        self._command, self._every = [*ASKED, "-i", gpu], every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, daemon=True)

    def __enter__(self) -> GpuUse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask_on(self) -> None:
        while not self._over.wait(self._every):
            said = subprocess.run(self._command, capture_output=True, text=True, check=False).stdout.split(",")
            if len(said) == 2 and all(value.strip().isdigit() for value in said):  # else "[N/A]", or another error
                self.percent.append(int(said[0]))
                self.mebibytes.append(int(said[1]))

    def mean(self) -> float:
        return statistics.fmean(self.percent) if self.percent else 0.0

    def over_time(self, parts: int = 10) -> list[int]:
        """The mean of each of so many parts of the time, or of as many as there are answers."""
        count = min(parts, len(self.percent))
        edges = [len(self.percent) * part // count for part in range(count + 1)] if count else []
        return [round(statistics.fmean(self.percent[start:end])) for start, end in zip(edges, edges[1:], strict=False)]
