"""BLIP's vision encoder -> the same compiled by OpenVINO for the CPU: images to embeddings or patch features."""

from __future__ import annotations

import sys
import threading
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from blip_udfs.blip.checkpoint import ModelError
from blip_udfs.blip.engine import Retrieval


class OpenVinoVision:
    """Stands in for the vision side of `network`: a method's graph is compiled when it is first called, for as many
    threads as torch has then. Its repacked weights are private to the process. Letters in shapes as in `engine`."""

    def __init__(self, network: Retrieval, image_size: int) -> None:
        self.network, self.image_size = network, image_size
        self._openvino = imported()
        self._compiled: dict[str, Any] = {}
        self._one_at_a_time = threading.Lock()  # a compiled model has one set of buffers

    def embed_images(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> L2-normalised (B, E)."""
        return self._run("embed_images", images)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, N, W)."""
        return self._run("features", images)

    def _run(self, method: str, images: Tensor) -> Tensor:
        with self._one_at_a_time:
            if method not in self._compiled:
                self._compiled[method] = self._compile(method)
            return torch.from_numpy(self._compiled[method](images.numpy())[0])

    def _compile(self, method: str) -> Any:
        side = self.image_size
        graph = self._openvino.convert_model(
            Call(self.network, method), example_input=torch.zeros(2, 3, side, side), input=[-1, 3, side, side]
        )
        return self._openvino.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",  # a CPU that has bfloat16 would take that
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",  # one batch at a time on all of these threads
                "ENABLE_CPU_PINNING": False,  # every worker would pin its threads to the same first cores
            },
        )


class Call(nn.Module):
    """A method of `network` as the forward pass, which is what is traced."""

    def __init__(self, network: Retrieval, method: str) -> None:
        super().__init__()
        self.network = network
        self.forward = partial(getattr(network, method))


def check(device: torch.device, dtype: torch.dtype) -> None:
    """ModelError unless OpenVINO computes there and so."""
    if device.type != "cpu":
        raise ModelError("backend openvino runs on the CPU: SET spark.blip.device = cpu or spark.blip.backend = torch")
    if dtype != torch.float32:
        raise ModelError(
            f"backend openvino computes in float32, got {str(dtype).removeprefix('torch.')}: "
            "SET spark.blip.dtype = float32 or spark.blip.backend = torch"
        )


def imported() -> ModuleType:
    """OpenVINO without its telemetry, which else writes to the home directory and sends each import to its makers."""
    try:
        # without the package OpenVINO takes a stub of its own in its place
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino
    except ImportError as error:
        raise ModelError(
            f"backend openvino: {error}; pip install openvino on the workers, or SET spark.blip.backend = torch"
        ) from error
    return openvino
