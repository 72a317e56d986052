"""What a family of models must give: a checkpoint -> embeddings of images and texts, patch features, match logits.

BLIP (`retrieval`) is the first. Another is a module with its own Loader, and that one's entry in `model.FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from blip_udfs.blip.checkpoint import Checkpoint


class Loader(Protocol):
    """The files of a checkpoint -> its model on `device`. Raises ModelError for what it does not serve."""

    def __call__(self, files: Checkpoint, device: torch.device, dtype: torch.dtype, backend: str) -> Model: ...


class Model(Protocol):
    """A loaded model. Letters in shapes: B rows, S image side, N patches + 1, W width, D embedding."""

    @property
    def digest(self) -> str:
        """Of its files' content, 12 hexadecimal digits: what embeddings and patch features are compared by."""

    @property
    def label(self) -> str:
        """name@digest, what blip_model() says."""

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def batch_size(self) -> int:
        """Images per forward pass that suit the device."""

    @property
    def image_size(self) -> int:
        """S, the side of the square that images are resized to."""

    @property
    def features_shape(self) -> tuple[int, int]:
        """N, W of an image's patch features."""

    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) -> L2-normalised float32 (B, D)."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """B texts -> L2-normalised float32 (B, D), in the same space."""

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) -> patch features float32 (B, N, W)."""

    def embed_features(self, features: np.ndarray) -> np.ndarray:
        """Patch features (B, N, W), or the first of each (B, 1, W) -> what embed_images gives of their images."""

    def itm_logits(self, features: np.ndarray, texts: Sequence[str], token: str = "enc") -> np.ndarray:
        """Features (B, N, W), each with its own of B texts -> float32 (B, 2): no match, match."""

    def itm_logits_of_many(self, features: np.ndarray, texts: Sequence[str], token: str = "enc") -> np.ndarray:
        """One image's features (N, W) with each of B texts -> float32 (B, 2)."""

    def match_probability(self, logits: np.ndarray) -> np.ndarray:
        """(B, 2) -> float64 (B,)."""

    def pack(self, features: np.ndarray, dtype: str = "float16") -> bytes:
        """Patch features (N, W) of one image, as float16 or int8, as bytes that carry the digest. Raises ImageError
        when they cannot be."""
