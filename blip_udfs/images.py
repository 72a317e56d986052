"""Encoded bytes, a path or a URI -> pixels as BLIP wants them; what is wrong with an image."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from blip_udfs.doors import limit
from blip_udfs.features import MAGIC, shape_of
from blip_udfs.sources import ImageError, check_bytes, read

__all__ = ["ImageError", "decode", "image_error", "normalise", "pixels"]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 274, 258, 262  # tags of EXIF and TIFF
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # BLIP_MAX_IMAGE_PIXELS decides
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: bytes | str) -> Image.Image:
    """The first frame as RGB, turned upright by its EXIF orientation.

    `source`: the encoded image (JPEG, PNG, WebP, BMP, TIFF, GIF), or the path or URI of one. Alpha is dropped, as
    transformers' `convert_to_rgb` does; 16 bits per channel keep their upper 8. Raises ImageError.
    """
    where = f"{source}: " if isinstance(source, str) else ""
    data = read(source) if isinstance(source, str) else source
    check_bytes(len(data), source if isinstance(source, str) else "image")
    try:
        return rgb(loaded(data))
    except ImageError as error:
        raise ImageError(f"{where}{error}") from None


def pixels(source: bytes | str, size: int) -> np.ndarray:
    """uint8 (size, size, 3): `decode` resized to the square, bicubic, as transformers' BlipImageProcessorPil."""
    return np.asarray(decode(source).resize((size, size), Image.Resampling.BICUBIC))


def normalise(batch: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 pixels (B, S, S, 3) -> float32 (B, 3, S, S), bit for bit as transformers' BLIP processor."""
    table = normalised_levels(tuple(mean), tuple(std))  # (3, 256)
    out = np.empty((len(batch), 3, *batch.shape[1:3]), np.float32)
    for channel in range(3):
        np.take(table[channel], batch[..., channel], out=out[:, channel], mode="clip")  # clip: no copy of `out`
    return out


@lru_cache(maxsize=8)
def normalised_levels(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """float32 (3, 256): what each of the 256 levels becomes in each channel, rounded where the processor rounds."""
    levels = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
    return (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]


def image_error(source: bytes | str) -> str | None:
    """Why the image, or the stored patch features, cannot be used; None if they can."""
    try:
        if isinstance(source, bytes) and source.startswith(MAGIC):
            shape_of(source)
        else:
            decode(source)
    except ImageError as error:
        return str(error)
    return None


def loaded(data: bytes) -> Image.Image:
    """The first frame's pixels, decoded. Pixels are counted after the header is read and before any is decoded."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(f"image of {len(data):,} bytes has too many pixels: {error}") from None
    except Image.UnidentifiedImageError:
        raise ImageError(unknown(data)) from None
    except MemoryError:
        raise
    except Exception as error:  # a broken header makes decoders raise nearly anything
        raise ImageError(f"image of {len(data):,} bytes does not open: {error or type(error).__name__}") from None
    check_pixels(image)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        message = f"{image.format} image of {len(data):,} bytes, {image.width} x {image.height} px, does not decode"
        raise ImageError(f"{message}: {error or type(error).__name__}") from None
    return image


def unknown(data: bytes) -> str:
    if not data:
        return "expected an image, got 0 bytes"
    if data.startswith(MAGIC):
        return f"expected an encoded image, got {len(data):,} bytes of patch features"
    known = "JPEG, PNG, WebP, BMP, TIFF or GIF"
    return f"expected {known}, got {len(data):,} bytes of another format, which begin with {data[:16]!r}"


def check_pixels(image: Image.Image) -> None:
    most = limit("BLIP_MAX_IMAGE_PIXELS")
    if image.width * image.height > most:
        message = f"{image.format} image of {image.width} x {image.height} px has too many pixels"
        raise ImageError(f"{message}: expected at most {most:,}; shrink it or set BLIP_MAX_IMAGE_PIXELS")


def rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = eight_bits(image)
    elif image.mode in ("I", "F"):
        raise ImageError(
            f"{image.format} image of {image.width} x {image.height} px has 32 bits per channel: expected 8 or 16, "
            "since nothing in the file says which values are black and white; convert it first"
        )
    turn = UPRIGHT.get(orientation(image))
    if image.mode == "P":
        image.info.pop("transparency", None)  # dropped by convert anyway, which would warn of it on stderr
    image = image.convert("RGB")
    return image if turn is None else image.transpose(turn)


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to its upper 8 bits, as Pillow reads 16-bit colour; Pillow's own convert would clip at 255."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]  # a TIFF's 12 bits are handed out in 16
    grey = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(PHOTOMETRIC) == 0
    out = Image.fromarray(255 - grey if white_is_zero else grey)
    out.info["exif"] = image.info.get("exif", b"")
    return out


def orientation(image: Image.Image) -> int:
    """1 to 8. EXIF that cannot be read is as none: the pixels decode all the same."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError, struct.error):
        return 1
