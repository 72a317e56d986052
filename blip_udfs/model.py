"""Pixels and texts -> embeddings, patch features and matching scores, as numpy arrays; a name -> its loaded model.

On a GPU the same code runs in half precision from pinned memory; that path is guarded by torch.cuda.is_available()
and has not been run on one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from cachetools import LRUCache, TTLCache
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from blip_udfs.checkpoint import Checkpoint, ModelError, find, read_json
from blip_udfs.engine import Retrieval, TextShape, VisionShape
from blip_udfs.features import pack_features
from blip_udfs.images import normalise
from blip_udfs.tokens import read_tokenizer, token_ids

if TYPE_CHECKING:
    from blip_udfs.openvino_vision import OpenVinoVision

__all__ = ["Blip", "ModelError", "load", "set_threads"]

MODELS_KEPT = 2
SECONDS_REMEMBERED = 300  # a model that did not load is not tried again for each row, but is once it may be mended
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BACKENDS = ("torch", "openvino")
BATCH_SIZES = {"cpu": 8, "mps": 16, "cuda": 64}

_models: LRUCache[Any, Blip] = LRUCache(MODELS_KEPT)
_failures: TTLCache[Any, str] = TTLCache(64, SECONDS_REMEMBERED)
_loading = threading.RLock()


def load(name: str, device: str = "auto", dtype: str = "auto", backend: str = "torch") -> Blip:
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


def _load(name: str, device: str, dtype: str, backend: str) -> Blip:
    files = find_once(name)
    key = (files.stamp, device, dtype, backend)
    if key not in _models:
        began = time.monotonic()
        blip = _models[key] = build(files, device, dtype, backend)
        kind = f"{blip.device.type}, {str(blip.dtype).removeprefix('torch.')}"
        kind += "" if backend == "torch" else f", {backend}"
        seconds = time.monotonic() - began
        print(f"blip_udfs: loaded {blip.label} from {files.folder} ({kind}) in {seconds:.1f} s", file=sys.stderr)
    return _models[key]


def find_once(name: str) -> Checkpoint:
    """`find`, but a hub id is resolved once per process: asking the hub for each batch would cost a request."""
    if name not in _found or not all(file.exists() for file in _found[name].files):
        _found[name] = find(name)
    return _found[name]


_found: LRUCache[str, Checkpoint] = LRUCache(64)


def build(files: Checkpoint, device: str = "auto", dtype: str = "auto", backend: str = "torch") -> Blip:
    config = read_config(files)
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    check_backend(backend, where, kind)
    vision, text = shapes(config, files)
    with torch.device("meta"):  # no memory for weights that are replaced at once
        network = Retrieval(vision, text, config.image_text_hidden_size)
    fill(network, files, kind)
    network = network.to(where).eval().requires_grad_(False)
    mean, std, side = files.normalisation()
    if side not in (None, vision.image_size):
        raise ModelError(f"{files.folder}: images of {side} px in the processor, {vision.image_size} in the model")
    return Blip(
        name=files.name,
        digest=files.digest(),
        image_size=vision.image_size,
        mean=mean,
        std=std,
        embed_dim=config.image_text_hidden_size,
        device=where,
        dtype=kind,
        network=network,
        vision=choose_vision(backend, network, vision.image_size),
        tokenizer=read_tokenizer(files),
        enc_token_id=getattr(config.text_config, "enc_token_id", None) or config.text_config.bos_token_id + 1,
        vocabulary=text.vocabulary,
    )


def read_config(files: Checkpoint) -> Any:
    """transformers' BlipConfig, which knows the defaults of what config.json leaves out."""
    from transformers import BlipConfig

    record = read_json(files.config)
    if record.get("model_type") != "blip":
        raise ModelError(
            f"{files.config}: expected a BLIP model for retrieval, got model_type {record.get('model_type')!r}"
        )
    try:
        return BlipConfig.from_dict(record)
    except Exception as error:  # transformers' validators have many types of their own
        raise ModelError(f"{files.config}: not a valid BLIP configuration: {error}") from error


def shapes(config: Any, files: Checkpoint) -> tuple[VisionShape, TextShape]:
    vision, text = config.vision_config, config.text_config
    for part in (vision, text):
        if part.hidden_act != "gelu" or part.hidden_size % part.num_attention_heads:
            raise ModelError(
                f"{files.config}: expected hidden_act gelu and a width that the heads divide, got {part.hidden_act}, "
                f"{part.hidden_size} / {part.num_attention_heads}"
            )
    return VisionShape(
        vision.hidden_size,
        vision.intermediate_size,
        vision.num_hidden_layers,
        vision.num_attention_heads,
        vision.image_size,
        vision.patch_size,
        vision.layer_norm_eps,
    ), TextShape(
        text.hidden_size,
        text.intermediate_size,
        text.num_hidden_layers,
        text.num_attention_heads,
        text.vocab_size,
        text.max_position_embeddings,
        text.layer_norm_eps,
        vision.hidden_size,
    )


def fill(network: Retrieval, files: Checkpoint, kind: torch.dtype) -> None:
    """Weights in place of the meta tensors: mapped from the file when it has their dtype, else converted."""
    weights: dict[str, torch.Tensor] = {}
    for file in files.weights:
        try:
            with safe_open(file, framework="pt") as tensors:
                weights |= {key: tensors.get_tensor(key).to(kind) for key in tensors.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file}: not a complete safetensors file: {error}; copy or download it again") from error
    weights = {key: value for key, value in weights.items() if not key.endswith("position_ids")}  # 0, 1, 2, ...
    try:
        keys = network.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError as error:
        raise ModelError(f"{files.folder}: weights do not fit config.json: {error}") from None
    if keys.missing_keys or keys.unexpected_keys:
        raise ModelError(
            f"{files.folder}: not the weights of a BLIP for retrieval (BlipForImageTextRetrieval): "
            f"{listed('missing', keys.missing_keys)}, {listed('unexpected', keys.unexpected_keys)}"
        )


def listed(what: str, keys: Sequence[str]) -> str:
    shown = ", ".join(sorted(keys)[:3]) + (", ..." if len(keys) > 3 else "")
    return f"{len(keys)} {what}" + (f" ({shown})" if keys else "")


def choose_device(device: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, works in available.items() if works)
    if not available.get(device.partition(":")[0], False):
        works = ", ".join(name for name in available if available[name])
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


def check_backend(backend: str, device: torch.device, dtype: torch.dtype) -> None:
    if backend not in BACKENDS:
        raise ModelError(f"backend '{backend}': expected one of {', '.join(BACKENDS)}")
    if backend == "openvino":
        from blip_udfs.openvino_vision import check

        check(device, dtype)


def choose_vision(backend: str, network: Retrieval, image_size: int) -> Retrieval | OpenVinoVision:
    """What encodes images: the network itself, or OpenVINO's form of its vision side."""
    if backend == "torch":
        return network
    from blip_udfs.openvino_vision import OpenVinoVision

    return OpenVinoVision(network, image_size)


def set_threads(threads: int) -> None:
    """How many threads one forward pass may use: a task's cores, so that parallel workers do not fight for them."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def batch_size(device: str) -> int:
    """Images per forward pass that suit the device: beyond it nothing is gained but memory is needed."""
    return BATCH_SIZES[torch.device(device).type]


@dataclass(frozen=True, eq=False)
class Blip:
    """A BLIP for retrieval. Letters in shapes: B rows, S image side, N patches + 1, W width, D embedding.

    `digest`: see Checkpoint.digest. `mean`, `std`: of pixels in 0..1, per channel.
    """

    name: str
    digest: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    embed_dim: int
    device: torch.device
    dtype: torch.dtype
    network: Retrieval
    vision: Retrieval | OpenVinoVision
    tokenizer: Tokenizer
    enc_token_id: int
    vocabulary: int

    @property
    def label(self) -> str:
        """name@digest: demo, the hub id or the folder's own name, and what was in it."""
        return f"{self.name}@{self.digest}"

    @property
    def batch_size(self) -> int:
        return batch_size(self.device.type)

    @property
    def features_shape(self) -> tuple[int, int]:
        """N, W of an image's patch features."""
        _, positions, width = self.network.vision_model.embeddings.position_embedding.shape
        return positions, width

    @torch.inference_mode()
    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) -> L2-normalised float32 (B, D)."""
        return to_numpy(self.vision.embed_images(self._images(pixels)))

    @torch.inference_mode()
    def features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) -> patch features float32 (B, N, W), [CLS] first."""
        return to_numpy(self.vision.features(self._images(pixels)))

    @torch.inference_mode()
    def embed_features(self, features: np.ndarray) -> np.ndarray:
        """Patch features (B, N, W) -> L2-normalised float32 (B, D), what embed_images gives of their images."""
        return to_numpy(self.network.project_image(self._patches(features[:, :1])[:, 0]))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """B texts -> L2-normalised float32 (B, D)."""
        if not texts:
            return np.empty((0, self.embed_dim), np.float32)
        return to_numpy(self.network.embed_texts(*map(self._tensor, self.token_ids(texts))))

    def itm_logits(self, features: np.ndarray, texts: Sequence[str], token: str = "enc") -> np.ndarray:
        """Features (B, N, W) of any float type, each scored with its own of B texts -> float32 (B, 2): no match, match.

        `token`: first token of the text, `enc` ([ENC]) as BLIP trains and evaluates retrieval, `cls` ([CLS]) as its
        demo and transformers. Raises ModelError when the model has no [ENC].
        """
        if len(features) != len(texts):
            raise ValueError(f"expected a text for each of {len(features)} images, got {len(texts)}")
        return self._match(features, texts, token)

    def itm_logits_of_many(self, features: np.ndarray, texts: Sequence[str], token: str = "enc") -> np.ndarray:
        """One image's features (N, W) scored with each of B texts -> float32 (B, 2), as itm_logits."""
        return self._match(features[None], texts, token)

    def match_probability(self, logits: np.ndarray) -> np.ndarray:
        """(B, 2) -> float64 (B,): softmax's second, in float64 so that strong matches do not tie."""
        no, yes = np.asarray(logits, np.float64).T
        return np.exp(-np.logaddexp(0, no - yes))

    def pack(self, features: np.ndarray) -> bytes:
        """Patch features (N, W) of one image as bytes that carry this model's digest."""
        return pack_features(features, self.digest)

    def token_ids(self, texts: Sequence[str], token: str = "cls") -> tuple[np.ndarray, np.ndarray]:
        """Ids int64 (B, T), padded to the longest of the batch, at most 35; mask bool (B, T), true for tokens."""
        padded, mask = token_ids(self.tokenizer, texts)
        if token == "enc":
            padded[:, 0] = self._enc()
        return padded, mask

    def _enc(self) -> int:
        if self.enc_token_id >= self.vocabulary:
            raise ModelError(
                f"{self.label} has no [ENC]: its id would be {self.enc_token_id} of {self.vocabulary} words; "
                "SET spark.blip.itm.token = cls"
            )
        return self.enc_token_id

    @torch.inference_mode()
    def _match(self, features: np.ndarray, texts: Sequence[str], token: str) -> np.ndarray:
        if not texts:
            return np.empty((0, 2), np.float32)
        unique = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(unique)}
        which = np.array([place[text] for text in texts])
        ids, mask = self.token_ids(unique, token)
        tokens, real, rows = map(self._tensor, (ids, mask, which))
        return to_numpy(self.network.match(tokens, real, rows, self._patches(features)))

    def _images(self, pixels: np.ndarray) -> torch.Tensor:
        expected = (self.image_size, self.image_size, 3)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != expected:
            raise ValueError(f"expected uint8 pixels (B, {expected}), got {pixels.dtype} {pixels.shape}")
        return self._tensor(normalise(pixels, self.mean, self.std)).to(self.dtype)  # (B, 3, S, S)

    def _patches(self, features: np.ndarray) -> torch.Tensor:
        return self._tensor(features).to(self.dtype)  # (B, N, W)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        if self.device.type != "cuda":
            array = array if array.flags.writeable else array.copy()  # torch warns of what it could write to
            return torch.from_numpy(array).to(self.device)
        return torch.from_numpy(np.array(array)).pin_memory().to(self.device, non_blocking=True)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
