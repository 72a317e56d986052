"""Encoded bytes, a path or a URI -> pixels as BLIP wants them; what is wrong with an image."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from PIL import Image

from blip_udfs.files.carried import named
from blip_udfs.files.doors import limit
from blip_udfs.files.formats import FORMATS, KNOWN_FORMATS
from blip_udfs.files.sources import ImageError

__all__ = ["KNOWN_FORMATS", "ImageError", "decode", "image_error", "normalise", "pixels"]

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 274, 258, 262, 339  # tags of EXIF and TIFF
NUMBERS = {1: "unsigned", 2: "signed", 3: "floating-point"}  # what TIFF's SampleFormat means
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # BLIP_MAX_IMAGE_PIXELS decides
RESCALE = 1 / 255  # levels to 0..1
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
    """The first frame as RGB, turned upright as EXIF, XMP or TIFF's own tag says.

    `source`: the encoded image in one of FORMATS, or the path or URI of one. Alpha is dropped, as transformers'
    `convert_to_rgb` does; 16 bits per channel keep their upper 8. Raises ImageError.
    """
    path, data = named(source)
    try:
        return rgb(loaded(data))
    except ImageError as error:
        raise ImageError(f"{path}: {error}" if path else str(error)) from None


def pixels(source: bytes | str, size: int) -> np.ndarray:
    """uint8 (size, size, 3): `decode` resized to the square, bicubic, as transformers' BlipImageProcessorPil."""
    image = decode(source)
    with blamed(f"image of {image.width} x {image.height} px is not resized to {size} px"):
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def normalise(batch: np.ndarray, mean: Sequence[float], std: Sequence[float], rescale: float = RESCALE) -> np.ndarray:
    """uint8 pixels (B, S, S, 3) -> float32 (B, 3, S, S), bit for bit as transformers' BLIP processor."""
    table = normalised_levels(tuple(mean), tuple(std), rescale)  # (3, 256)
    out = np.empty((len(batch), 3, *batch.shape[1:3]), np.float32)
    for channel in range(3):
        np.take(table[channel], batch[..., channel], out=out[:, channel], mode="clip")  # clip: no copy of `out`
    return out


@lru_cache(maxsize=8)
def normalised_levels(mean: tuple[float, ...], std: tuple[float, ...], rescale: float) -> np.ndarray:
    """float32 (3, 256): what each of the 256 levels becomes in each channel, rounded where the processor rounds."""
    levels = (np.arange(256, dtype=np.float64) * rescale).astype(np.float32)
    return (levels - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]


def image_error(source: bytes | str) -> str | None:
    """Why the image cannot be used; None if it can."""
    try:
        decode(source)
    except ImageError as error:
        return str(error)
    return None


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Whatever a decoder or a conversion raises (it may be nearly anything) is the image's error; want of memory is
    the machine's."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{what}: {str(error) or type(error).__name__}") from None


def loaded(data: bytes) -> Image.Image:
    """The first frame's pixels, decoded. Pixels are counted after the header is read and before any is decoded."""
    image = opened(data)
    check_pixels(image)
    with blamed(f"{image.format} image of {len(data):,} bytes, {image.width} x {image.height} px, does not decode"):
        image.load()
    return image


def opened(data: bytes) -> Image.Image:
    with blamed(f"image of {len(data):,} bytes does not open"):
        try:
            return Image.open(io.BytesIO(data), formats=list(FORMATS))
        except Image.UnidentifiedImageError:
            raise ImageError(unknown(data)) from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"image of {len(data):,} bytes has too many pixels: {error}") from None


def unknown(data: bytes) -> str:
    """Why Pillow takes the bytes for no image: of another format, or of one of ours in a form that it does not read."""
    if not data:
        return "expected an image, got 0 bytes"
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(data[:16]) is True:
            with blamed(f"{name} image of {len(data):,} bytes does not open"):
                factory(io.BytesIO(data), "")
    return f"expected {KNOWN_FORMATS}, got {len(data):,} bytes of another format, which begin with {data[:16]!r}"


def check_pixels(image: Image.Image) -> None:
    most = limit("BLIP_MAX_IMAGE_PIXELS")
    if image.width * image.height > most:
        message = f"{image.format} image of {image.width} x {image.height} px has too many pixels"
        raise ImageError(f"{message}: expected at most {most:,}; shrink it or set BLIP_MAX_IMAGE_PIXELS")


def rgb(image: Image.Image) -> Image.Image:
    """Upright RGB of a loaded image in any of Pillow's modes."""
    turn = UPRIGHT.get(orientation(image))  # asked first: a conversion may leave it behind
    image.info.pop("transparency", None)  # dropped by convert anyway, which would warn of it on stderr
    with blamed(f"{image.format} image of {image.width} x {image.height} px in mode {image.mode} does not become RGB"):
        if image.mode in ("I", "F"):
            raise ImageError(without_scale(image))
        if image.mode.startswith("I;16"):
            image = eight_bits(image)
        if image.mode == "La":
            image = image.convert("LA")  # the only way out of grey with premultiplied alpha
        image = image.convert("RGB")
        return image if turn is None else image.transpose(turn)


def without_scale(image: Image.Image) -> str:
    tags = getattr(image, "tag_v2", {})
    bits, numbers = tags.get(BITS_PER_SAMPLE, (32,))[0], NUMBERS.get(tags.get(SAMPLE_FORMAT, (1,))[0], "unknown")
    return (
        f"{image.format} image of {image.width} x {image.height} px has {bits} bits per channel, {numbers}: expected "
        "8 or 16, unsigned, since nothing in the file says which values are black and white; convert it first"
    )


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey to its upper 8 bits, as Pillow reads 16-bit colour; Pillow's own convert would clip at 255."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]  # a TIFF's 12 bits are handed out in 16
    grey = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(PHOTOMETRIC) == 0
    return Image.fromarray(255 - grey if white_is_zero else grey)


def orientation(image: Image.Image) -> int:
    """1 to 8. EXIF that cannot be read, whatever Pillow raises of it, is as none: the pixels decode all the same."""
    try:
        with blamed("orientation"):
            return int(image.getexif().get(ORIENTATION, 1))
    except ImageError:
        return 1
