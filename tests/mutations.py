"""Seeded damage to images and patch features: flipped, cut, repeated and swapped bytes, extreme numbers in headers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.odd_images import alpha, encoded, interlaced, noise, scene

EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def sound() -> list[bytes]:
    """One of each kind that decoders treat differently."""
    photo, drawn = noise(40), scene(40, 24)
    return [
        encoded(photo, "JPEG", quality=90),
        encoded(photo, "JPEG", quality=60, progressive=True, subsampling=2),
        encoded(photo.convert("CMYK"), "JPEG"),
        encoded(drawn, "PNG"),
        encoded(drawn.convert("P"), "PNG"),
        encoded(drawn.convert("L"), "PNG"),
        interlaced(),
        encoded(photo, "WEBP", quality=80),
        encoded(alpha(), "WEBP", lossless=True),
        encoded(drawn, "WEBP", save_all=True, append_images=[drawn.rotate(90), drawn.rotate(180)]),
        encoded(drawn, "TIFF"),
        *(encoded(photo, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        encoded(drawn.convert("1"), "TIFF", compression="group4"),
        encoded(drawn, "GIF"),
        encoded(drawn, "BMP"),
    ]


def mutated(count: int, seed: int, features: list[bytes]) -> Iterator[bytes]:
    """`count` damaged blobs; `features` are sound patch features, as often damaged as all images of one format."""
    random = np.random.default_rng(seed)
    originals = [*sound(), *features]
    for _ in range(count):
        blob = bytearray(originals[random.integers(len(originals))])
        for _ in range(random.integers(1, 5)):
            other = originals[random.integers(len(originals))]
            blob = DAMAGES[random.integers(len(DAMAGES))](blob, random, other)
        yield bytes(blob)


def place(blob: bytearray, random: np.random.Generator) -> int:
    """Half of the places are in the header, where lengths and sizes are."""
    most = min(len(blob), 64) if random.random() < 0.5 else len(blob)
    return int(random.integers(most + 1))


def flip(blob: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    at = place(blob, random)
    if at < len(blob):
        blob[at] = random.integers(256)
    return blob


def extreme(blob: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    """A number of 1, 2 or 4 bytes of either order in place of what is there."""
    at, size = place(blob, random), int(random.choice([1, 2, 4]))
    number = EXTREMES[random.integers(len(EXTREMES))] % (1 << 8 * size)
    blob[at : at + size] = number.to_bytes(size, "big" if random.random() < 0.5 else "little")
    return blob


def cut(blob: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    return blob[: place(blob, random)]


def drop(blob: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    at = place(blob, random)
    del blob[at : at + int(random.integers(1, 40))]
    return blob


def repeat(blob: bytearray, random: np.random.Generator, _: bytes) -> bytearray:
    at = place(blob, random)
    blob[at:at] = blob[at : at + int(random.integers(1, 200))] * int(random.integers(1, 8))
    return blob


def splice(blob: bytearray, random: np.random.Generator, other: bytes) -> bytearray:
    at = place(blob, random)
    return blob[:at] + other[at:]


DAMAGES = (flip, flip, extreme, extreme, cut, drop, repeat, splice)
