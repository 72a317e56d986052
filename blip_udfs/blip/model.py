"""A name -> its loaded model, of the family that its configuration names; kept, as a failure is for a while."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from cachetools import LRUCache, TTLCache

from blip_udfs.blip import retrieval
from blip_udfs.blip.checkpoint import HUB_ID, Checkpoint, ModelError, announce, announced, files_of, find, read_json
from blip_udfs.blip.devices import (
    as_exact_as_said,
    choose_device,
    choose_dtype,
    decoders,
    device_of_task,
    set_threads,
)
from blip_udfs.blip.family import Loader, Model

__all__ = ["ModelError", "build", "decoders", "device_of_task", "keep", "load", "set_threads"]

FAMILIES: dict[str, Loader] = {"blip": retrieval.build}  # by model_type of config.json
MODELS_KEPT = 2
SECONDS_REMEMBERED = 300  # a model that did not load is not tried again for each row, but is once it may be mended
BACKENDS = ("torch", "openvino")

_models: LRUCache[Any, Model] = LRUCache(MODELS_KEPT)
_failures: TTLCache[Any, str] = TTLCache(64, SECONDS_REMEMBERED)
_loading = threading.RLock()


def load(name: str, device: str = "auto", dtype: str = "auto", backend: str = "torch") -> Model:
    """The model called `name`: `demo`, a local Hugging Face folder, or a hub id.

    `device`: auto (cuda, else mps, else cpu), cpu, cuda, mps. `dtype`: auto (float32; half on cuda), float32,
    bfloat16, float16. `backend`: torch, or openvino, which runs the vision encoder on a CPU. Loaded once per process
    and said so on stderr; the weights stay mapped from their file, which all workers of a machine share. Raises
    ModelError, remembered for five minutes.
    """
    with _loading:
        wanted = (name, device, dtype, backend)
        if wanted in _failures:
            raise ModelError(_failures[wanted])
        try:
            return _load(name, device, dtype, backend)
        except ModelError as error:
            _failures[wanted] = str(error)
            raise


def _load(name: str, device: str, dtype: str, backend: str) -> Model:
    files = find_once(name)
    key = key_of(files, device, dtype, backend)
    if key not in _models:
        announce(name)
        began = time.monotonic()
        model = _models[key] = build(files, device, dtype, backend)
        kind = f"{model.device.type}, {str(model.dtype).removeprefix('torch.')}"
        kind += "" if backend == "torch" else f", {backend}"
        seconds = time.monotonic() - began
        print(f"blip_udfs: loaded {model.label} from {files.folder} ({kind}) in {seconds:.1f} s", file=sys.stderr)
        announced.discard(name)
    return _models[key]


def keep(name: str, folder: str, dtype: str) -> Model:
    """For the process that workers are forked from: the model that one of them has loaded from `folder` under this
    name, on the CPU and with one thread, so that `load` has it in all later ones. Nothing is computed, no GPU asked
    for, and no hub; raises ModelError as `load` does."""
    set_threads(1)
    if HUB_ID.fullmatch(name):
        _found[name] = files_of(name, Path(folder))
    files = find_once(name)
    key = key_of(files, "cpu", dtype, "torch")
    if key not in _models:
        _models[key] = build(files, "cpu", dtype)
    return _models[key]


def key_of(files: Checkpoint, device: str, dtype: str, backend: str) -> tuple:
    """What is the same model: auto and what it stands for are."""
    where = choose_device(device)
    return files.stamp, where, choose_dtype(dtype, where), backend


def find_once(name: str) -> Checkpoint:
    """`find`, but a hub id is resolved once per process: asking the hub for each batch would cost a request. A folder
    is looked at each time, for it may have other files by now."""
    if not HUB_ID.fullmatch(name):
        return find(name)
    if name not in _found or not all(file.exists() for file in _found[name].files):
        _found[name] = find(name)
    return _found[name]


_found: LRUCache[str, Checkpoint] = LRUCache(64)


def build(files: Checkpoint, device: str = "auto", dtype: str = "auto", backend: str = "torch") -> Model:
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    check_backend(backend, where, kind)
    as_exact_as_said(where)
    return family(files)(files, where, kind, backend)


def family(files: Checkpoint) -> Loader:
    model_type = read_json(files.config).get("model_type")
    if model_type not in FAMILIES:
        known = " or ".join(FAMILIES).upper()
        raise ModelError(f"{files.config}: expected a {known} model for retrieval, got model_type {model_type!r}")
    return FAMILIES[model_type]


def check_backend(backend: str, device: torch.device, dtype: torch.dtype) -> None:
    if backend not in BACKENDS:
        raise ModelError(f"backend '{backend}': expected one of {', '.join(BACKENDS)}")
    if backend == "openvino":
        from blip_udfs.blip.openvino_vision import check

        check(device, dtype)
