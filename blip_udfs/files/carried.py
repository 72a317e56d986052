"""What the extension's jar hands a worker in place of a path -> the name of the image, and its bytes.

MAGIC, a letter, the path's length (4 bytes, the highest first), the path, and then, by the letter:
P nothing, for the worker reads it; B the file's bytes; E why they cannot be read; S modification time and length.
"""

from __future__ import annotations

import struct

from blip_udfs.files.sources import ImageError, check_bytes, check_root, read

MAGIC = b"BLIPFILE"
HEADER = struct.Struct(">8scI")
NUMBERS = struct.Struct(">qq")  # modification time in microseconds, length; not positive: the storage does not say


def is_carried(image: object) -> bool:
    return isinstance(image, bytes) and image.startswith(MAGIC) and len(image) >= HEADER.size


def parts(image: bytes) -> tuple[str, str, bytes]:
    """The letter, the path, and what follows."""
    _, kind, length = HEADER.unpack_from(image)
    end = HEADER.size + length
    return kind.decode("latin-1"), image[HEADER.size : end].decode(errors="replace"), image[end:]


def named(image: bytes | str) -> tuple[str | None, bytes]:
    """The path of an image, if it has one, and its encoded bytes. Raises ImageError, and as `sources.read`."""
    if isinstance(image, str):
        return image, read(image)
    if not is_carried(image):
        check_bytes(len(image))
        return None, image
    kind, path, payload = parts(image)
    check_root(path)
    if kind == "P":
        return path, read(path)
    if kind == "S":
        check_bytes(NUMBERS.unpack(payload)[1], path)
    if kind != "B":
        raise ImageError(f"{path}: {payload.decode(errors='replace') if kind == 'E' else 'was not read'}")
    check_bytes(len(payload), path)
    return path, payload


def stamp(image: bytes) -> tuple[int | None, int | None]:
    """Modification time (microseconds) and length as S says them."""
    numbers = NUMBERS.unpack(parts(image)[2])
    modified, length = (number if number > 0 else None for number in numbers)
    return modified, length
