"""Patch features (N, W) <-> bytes that say what they are: numbers in half precision, or int8 with a scale per patch."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from blip_udfs.files.sources import ImageError

MAGIC = b"BLIPFEAT"
VERSION = 1
DTYPES = {"float16": 1, "int8": 2}  # by the names of spark.blip.features; a number once given is never another's
INFINITY = 0x7C00  # of float16: all bits of the exponent, which NaN has too
LARGEST = 65504  # of float16, which no patch feature exceeds in either dtype: a GPU computes in it
STEPS = 127  # of int8 to either side of 0
HEADER = struct.Struct("<8sHHII12s")  # magic, version, dtype, rows N, width W, model digest: 32 bytes


@dataclass(frozen=True, eq=False)
class Stored:
    """Patch features as their bytes have them: `values` float16 (N, W), or int8 to be multiplied by `scales`
    float32 (N, 1). Both are read-only views."""

    values: np.ndarray
    scales: np.ndarray | None = None

    def numbers(self, rows: int | None = None) -> np.ndarray:
        """(N, W), or of the first `rows` patches alone: float16 as it is, float32 of int8."""
        if self.scales is None:
            return self.values[:rows]
        wide = self.values[:rows].astype(np.float32)  # and then multiplied: half the time of numpy's mixed product
        wide *= self.scales[:rows]
        return wide


def pack_features(features: np.ndarray, digest: str, dtype: str = "float16") -> bytes:
    """Float (N, W) -> header of 32 bytes, then N x W little-endian float16, row by row; as `int8` N little-endian
    float32, a scale for each patch, then N x W int8, whose products with it are nearest to the features.

    `digest` is the model's, 12 hexadecimal digits. Raises ImageError when a value is beyond half precision.
    """
    if features.ndim != 2 or len(digest) != 12:
        raise ValueError(f"expected features (N, W) and a digest of 12 digits, got {features.shape} and '{digest}'")
    body = as_int8(features) if dtype == "int8" else as_float16(features)
    return HEADER.pack(MAGIC, VERSION, DTYPES[dtype], *features.shape, digest.encode("ascii")) + body


def as_float16(features: np.ndarray) -> bytes:
    with np.errstate(over="ignore"):  # reported below
        half = np.ascontiguousarray(features, dtype="<f2")
    check_fit(np.isfinite(half).all())
    return half.tobytes()


def as_int8(features: np.ndarray) -> bytes:
    largest = np.abs(features).max(1, keepdims=True).astype("<f4")  # (N, 1)
    check_fit((largest <= LARGEST).all())  # of NaN, which max gives back, false too
    scales = largest / np.float32(STEPS)
    steps = np.rint(features / np.where(scales > 0, scales, 1))
    return scales.tobytes() + steps.clip(-STEPS, STEPS).astype(np.int8).tobytes()


def check_fit(fit: bool | np.bool_) -> None:
    if not fit:
        raise ImageError("patch features exceed half precision (65504): they cannot be stored, score images instead")


def stored() -> dict[str, str | int]:
    """How the bytes begin, and where in them the digest is, from 1, for who must tell them apart without unpacking."""
    digest = struct.calcsize("12s")
    return {"magic": MAGIC.decode("ascii"), "digest": HEADER.size - digest + 1, "digits": digest}


def is_features(blob: bytes) -> bool:
    """Whether the bytes claim to be patch features; no image format begins like them."""
    return blob.startswith(MAGIC)


def header_of(blob: bytes) -> tuple[str, int, int, str]:
    """(dtype, N, W, model digest). Raises ImageError when header and length do not fit."""
    if len(blob) < HEADER.size or not is_features(blob):
        raise ImageError(f"expected patch features with a header of {HEADER.size} bytes, got {len(blob):,} bytes")
    _, version, number, rows, width, digest = HEADER.unpack_from(blob)
    dtype = next((name for name, own in DTYPES.items() if own == number), None)
    if version != VERSION or dtype is None:
        known = " or ".join(f"{own} ({name})" for name, own in DTYPES.items())
        raise ImageError(
            f"patch features of version {version}, dtype {number}: expected version {VERSION}, dtype {known}; "
            "make them again with blip_image_features"
        )
    expected = HEADER.size + (2 * rows * width if dtype == "float16" else 4 * rows + rows * width)
    if len(blob) != expected or not rows * width:
        raise ImageError(f"patch features of {rows} x {width}: expected {expected:,} bytes, got {len(blob):,}")
    return dtype, rows, width, digest.decode("ascii", "replace")


def read_features(blob: bytes, digest: str | None = None, shape: tuple[int, int] | None = None) -> Stored:
    """A view of `blob`. Raises ImageError when `digest` or `shape` (N, W) is given and not the blob's, or when a value
    is not finite: its score would sort above all others."""
    dtype, rows, width, made_by = header_of(blob)
    if digest is not None and made_by != digest:
        raise ImageError(
            f"patch features were made by model {made_by}, the session's is {digest}: SET spark.blip.model to the "
            "one that made them, or make them again with blip_image_features"
        )
    if shape is not None and (rows, width) != shape:
        raise ImageError(f"patch features of {rows} x {width}: expected {shape[0]} x {shape[1]}, as the model has")
    found = of_int8(blob, rows) if dtype == "int8" else of_float16(blob, rows)
    if found is None:
        raise ImageError(f"patch features of {rows} x {width}: expected numbers, got infinity or NaN among them")
    return found


def of_float16(blob: bytes, rows: int) -> Stored | None:
    """None where a value is not finite."""
    values = np.frombuffer(blob, dtype="<f2", offset=HEADER.size).reshape(rows, -1)
    # as integers: isfinite of halves takes 10 times longer
    return None if (values.view("<u2") & INFINITY).max() == INFINITY else Stored(values)


def of_int8(blob: bytes, rows: int) -> Stored | None:
    """None where a value would not be finite in half precision, by its scale."""
    scales = np.frombuffer(blob, dtype="<f4", offset=HEADER.size, count=rows).reshape(rows, 1)
    values = np.frombuffer(blob, dtype=np.int8, offset=HEADER.size + 4 * rows).reshape(rows, -1)
    return Stored(values, scales) if (np.abs(scales) <= np.float32(LARGEST) / STEPS).all() else None


def unpack_features(blob: bytes, digest: str | None = None, shape: tuple[int, int] | None = None) -> np.ndarray:
    """(N, W): of float16 a read-only view, of int8 float32. Raises ImageError as `read_features`."""
    return read_features(blob, digest, shape).numbers()
