"""Patch features (N, W) <-> half-precision bytes that say what they are."""

from __future__ import annotations

import struct

import numpy as np

from blip_udfs.files.sources import ImageError

MAGIC = b"BLIPFEAT"
VERSION = 1
FLOAT16 = 1  # the only dtype so far
INFINITY = 0x7C00  # of float16: all bits of the exponent, which NaN has too
HEADER = struct.Struct("<8sHHII12s")  # magic, version, dtype, rows N, width W, model digest: 32 bytes


def pack_features(features: np.ndarray, digest: str) -> bytes:
    """Float (N, W) -> header of 32 bytes, then N x W little-endian float16, row by row.

    `digest` is the model's, 12 hexadecimal digits. Raises ImageError when a value is beyond half precision.
    """
    if features.ndim != 2 or len(digest) != 12:
        raise ValueError(f"expected features (N, W) and a digest of 12 digits, got {features.shape} and '{digest}'")
    with np.errstate(over="ignore"):  # reported below
        half = np.ascontiguousarray(features, dtype="<f2")
    if not np.isfinite(half).all():
        raise ImageError("patch features exceed half precision (65504): they cannot be stored, score images instead")
    return HEADER.pack(MAGIC, VERSION, FLOAT16, *half.shape, digest.encode("ascii")) + half.tobytes()


def stored() -> dict[str, str | int]:
    """How the bytes begin, and where in them the digest is, from 1, for who must tell them apart without unpacking."""
    digest = struct.calcsize("12s")
    return {"magic": MAGIC.decode("ascii"), "digest": HEADER.size - digest + 1, "digits": digest}


def is_features(blob: bytes) -> bool:
    """Whether the bytes claim to be patch features; no image format begins like them."""
    return blob.startswith(MAGIC)


def shape_of(blob: bytes) -> tuple[int, int, str]:
    """(N, W, model digest) from the header. Raises ImageError when header and length do not fit."""
    if len(blob) < HEADER.size or not is_features(blob):
        raise ImageError(f"expected patch features with a header of {HEADER.size} bytes, got {len(blob):,} bytes")
    _, version, dtype, rows, width, digest = HEADER.unpack_from(blob)
    if (version, dtype) != (VERSION, FLOAT16):
        raise ImageError(
            f"patch features of version {version}, dtype {dtype}: expected version {VERSION}, dtype {FLOAT16} "
            "(float16); make them again with blip_image_features"
        )
    expected = HEADER.size + 2 * rows * width
    if len(blob) != expected or not rows * width:
        raise ImageError(f"patch features of {rows} x {width}: expected {expected:,} bytes, got {len(blob):,}")
    return rows, width, digest.decode("ascii", "replace")


def unpack_features(blob: bytes, digest: str | None = None, shape: tuple[int, int] | None = None) -> np.ndarray:
    """float16 (N, W), a read-only view of `blob`. Raises ImageError when `digest` or `shape` (N, W) is given and not
    the blob's, or when a value is not finite: its score would sort above all others."""
    rows, width, made_by = shape_of(blob)
    if digest is not None and made_by != digest:
        raise ImageError(
            f"patch features were made by model {made_by}, the session's is {digest}: SET spark.blip.model to the "
            "one that made them, or make them again with blip_image_features"
        )
    if shape is not None and (rows, width) != shape:
        raise ImageError(f"patch features of {rows} x {width}: expected {shape[0]} x {shape[1]}, as the model has")
    features = np.frombuffer(blob, dtype="<f2", offset=HEADER.size).reshape(rows, width)
    if (features.view("<u2") & INFINITY).max() == INFINITY:  # as integers: isfinite of halves takes 10 times longer
        raise ImageError(f"patch features of {rows} x {width}: expected numbers, got infinity or NaN among them")
    return features
