"""A BLIP checkpoint -> Blip: pixels and texts to embeddings, patch features and matching scores, as numpy arrays.

On a GPU the same code runs in half precision from pinned memory, and there levels of 0..255 become numbers: a fourth of
the bytes cross. `make gpu` compares its numbers with a CPU's; it has not been run on one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from blip_udfs.blip.checkpoint import Checkpoint, ModelError, read_json
from blip_udfs.blip.devices import batch_size
from blip_udfs.blip.engine import Retrieval, TextShape, VisionShape
from blip_udfs.blip.features import pack_features
from blip_udfs.blip.fits import Fitting
from blip_udfs.blip.processor import Processor, read_processor
from blip_udfs.blip.products import settle
from blip_udfs.blip.tokens import ENC, MAX_TOKENS, read_tokenizer, token_ids
from blip_udfs.files.images import normalise, normalised_levels

if TYPE_CHECKING:
    from blip_udfs.blip.openvino_vision import OpenVinoVision


def build(files: Checkpoint, device: torch.device, dtype: torch.dtype, backend: str) -> Blip:
    """The model of `files`, its weights mapped from theirs. Raises ModelError for what is not served."""
    config = read_config(files)
    vision, text = shapes(config, files)
    processor = read_processor(files.preprocessor)
    if processor.side not in (None, vision.image_size):
        raise ModelError(
            f"{files.preprocessor}: size: images of {processor.side} px in the processor, {vision.image_size} in the "
            "model"
        )
    tokenizer = read_tokenizer(files, text.vocabulary)
    with torch.device("meta"):  # no memory for weights that are replaced at once
        network = Retrieval(vision, text, config.image_text_hidden_size)
    fill(network, files, dtype)
    network = network.to(device).eval().requires_grad_(False)
    return Blip(
        name=files.name,
        digest=files.digest(),
        image_size=vision.image_size,
        processor=processor,
        embed_dim=config.image_text_hidden_size,
        device=device,
        dtype=dtype,
        network=network,
        vision=choose_vision(backend, network, vision.image_size),
        tokenizer=tokenizer,
        enc_token_id=enc_token_id(tokenizer, config.text_config),
        vocabulary=text.vocabulary,
        fitting=Fitting(device),
    )


def read_config(files: Checkpoint) -> Any:
    """transformers' BlipConfig, which knows the defaults of what config.json leaves out."""
    from transformers import BlipConfig

    try:
        return BlipConfig.from_dict(read_json(files.config))
    except Exception as error:  # transformers' validators have many types of their own
        raise ModelError(f"{files.config}: not a valid BLIP configuration: {error}") from error


def enc_token_id(tokenizer: Tokenizer, text_config: Any) -> int | None:
    """[ENC]'s id where the tokenizer defines it, else config.json's, else the one behind [DEC], which begins texts."""
    defined = tokenizer.token_to_id(ENC)
    if defined is None:
        defined = getattr(text_config, "enc_token_id", None)
    begins = text_config.bos_token_id
    return begins + 1 if defined is None and begins is not None else defined


def shapes(config: Any, files: Checkpoint) -> tuple[VisionShape, TextShape]:
    vision, text = config.vision_config, config.text_config
    for part in (vision, text):
        if part.hidden_act != "gelu" or part.hidden_size % part.num_attention_heads:
            raise ModelError(
                f"{files.config}: expected hidden_act gelu and a width that the heads divide, got {part.hidden_act}, "
                f"{part.hidden_size} / {part.num_attention_heads}"
            )
    if text.max_position_embeddings < MAX_TOKENS:
        raise ModelError(
            f"{files.config}: text_config: expected max_position_embeddings of {MAX_TOKENS} or more, as long as BLIP's "
            f"texts are, got {text.max_position_embeddings}"
        )
    return VisionShape(
        vision.hidden_size,
        vision.intermediate_size,
        vision.num_hidden_layers,
        vision.num_attention_heads,
        side(files, "image_size", vision.image_size),
        side(files, "patch_size", vision.patch_size),
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


def side(files: Checkpoint, key: str, size: Any) -> int:
    """384, or [384, 384]."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or sides[0] != sides[1]:
        raise ModelError(f"{files.config}: vision_config: {key}: expected one number, or the same twice, got {size}")
    return sides[0]


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


def choose_vision(backend: str, network: Retrieval, image_size: int) -> Retrieval | OpenVinoVision:
    """What encodes images: the network itself, or OpenVINO's form of its vision side."""
    if backend == "torch":
        return network
    from blip_udfs.blip.openvino_vision import OpenVinoVision

    return OpenVinoVision(network, image_size)


@dataclass(frozen=True, eq=False)
class Blip:
    """A BLIP for retrieval. Letters in shapes: B rows, S image side, N patches + 1, W width, D embedding.

    `digest`: see Checkpoint.digest.
    """

    name: str
    digest: str
    image_size: int
    processor: Processor
    embed_dim: int
    device: torch.device
    dtype: torch.dtype
    network: Retrieval
    vision: Retrieval | OpenVinoVision
    tokenizer: Tokenizer
    enc_token_id: int | None
    vocabulary: int
    fitting: Fitting

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
        self._settle_vision()
        return self._of_images(pixels, self.vision.embed_images)

    @torch.inference_mode()
    def features(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (B, S, S, 3) -> patch features float32 (B, N, W), [CLS] first."""
        self._settle_vision()
        return self._of_images(pixels, self.vision.features)

    @torch.inference_mode()
    def embed_features(self, features: np.ndarray) -> np.ndarray:
        """Patch features (B, N, W) -> L2-normalised float32 (B, D), what embed_images gives of their images."""
        return to_numpy(self.network.project_image(self._patches(features[:, :1])[:, 0]))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """B texts -> L2-normalised float32 (B, D)."""
        if not texts:
            return np.empty((0, self.embed_dim), np.float32)
        self._settle_text()
        ids, mask = self.token_ids(texts)
        return self.fitting(
            "texts",
            len(texts),
            lambda part: to_numpy(self.network.embed_texts(self._tensor(ids[part]), self._tensor(mask[part]))),
        )

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

    def pack(self, features: np.ndarray, dtype: str = "float16") -> bytes:
        """Patch features (N, W) of one image, as float16 or int8, as bytes that carry this model's digest."""
        return pack_features(features, self.digest, dtype)

    def token_ids(self, texts: Sequence[str], token: str = "cls") -> tuple[np.ndarray, np.ndarray]:
        """Ids int64 (B, T), padded to the longest of the batch, at most 35; mask bool (B, T), true for tokens."""
        padded, mask = token_ids(self.tokenizer, texts)
        if token == "enc":
            padded[:, 0] = self._enc()
        return padded, mask

    def _enc(self) -> int:
        if self.enc_token_id is None or self.enc_token_id >= self.vocabulary:
            raise ModelError(
                f"{self.label} has no [ENC]: its id would be {self.enc_token_id} of {self.vocabulary} words; "
                "SET spark.blip.itm.token = cls"
            )
        return self.enc_token_id

    @torch.inference_mode()
    def _match(self, features: np.ndarray, texts: Sequence[str], token: str) -> np.ndarray:
        if not texts:
            return np.empty((0, 2), np.float32)
        self._settle_text()
        shared = len(features) == 1  # by all texts
        return self.fitting(
            "pairs of image and text",
            len(texts),
            lambda part: self._match_at_once(features if shared else features[part], texts[part], token),
        )

    def _match_at_once(self, features: np.ndarray, texts: Sequence[str], token: str) -> np.ndarray:
        unique = list(dict.fromkeys(texts))
        place = {text: row for row, text in enumerate(unique)}
        which = np.array([place[text] for text in texts])
        ids, mask = self.token_ids(unique, token)
        tokens, real, rows = map(self._tensor, (ids, mask, which))
        return to_numpy(self.network.match(tokens, real, rows, self._patches(features)))

    def _settle_vision(self) -> None:
        if self.vision is self.network:
            settle(self.network.vision_model, self.network.vision_model.a_little)

    def _settle_text(self) -> None:
        positions, _ = self.features_shape
        settle(self.network.text_encoder, lambda: self.network.text_encoder.a_little(positions))

    def _of_images(self, pixels: np.ndarray, forward: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        expected = (self.image_size, self.image_size, 3)
        if pixels.dtype != np.uint8 or pixels.shape[1:] != expected:
            raise ValueError(f"expected uint8 pixels (B, {expected}), got {pixels.dtype} {pixels.shape}")
        return self.fitting("images", len(pixels), lambda part: to_numpy(forward(self._images(pixels[part]))))

    def _images(self, pixels: np.ndarray) -> torch.Tensor:
        how = self.processor
        if self.device.type == "cpu":
            return self._tensor(normalise(pixels, how.mean, how.std, how.rescale)).to(self.dtype)  # (B, 3, S, S)
        levels = torch.from_numpy(normalised_levels(how.mean, how.std, how.rescale)).to(self.device, self.dtype)
        return normalised_there(self._tensor(pixels), levels)

    def _patches(self, features: np.ndarray) -> torch.Tensor:
        return self._tensor(features).to(self.dtype)  # (B, N, W)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        if self.device.type != "cuda":
            array = array if array.flags.writeable else array.copy()  # torch warns of what it could write to
            return torch.from_numpy(array).to(self.device)
        return torch.from_numpy(np.array(array)).pin_memory().to(self.device, non_blocking=True)


def normalised_there(pixels: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """uint8 (B, S, S, 3) -> (B, 3, S, S) of the type of `levels` (3, 256), on whichever device both are."""
    return torch.stack([levels[channel][pixels[..., channel].int()] for channel in range(3)], 1)


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
