"""TIFFs written by hand, of sample types, photometric meanings and tags that Pillow reads but does not write."""

from __future__ import annotations

import struct

import numpy as np

KINDS = {"u": 1, "i": 2, "f": 3}  # SampleFormat of numpy's kinds
SHORT, LONG = 3, 4


def tiff(samples: np.ndarray, photometric: int = 1, order: str = "<", **tags: int) -> bytes:
    """One strip of `samples` (H, W) or (H, W, C), of any dtype. `tags`: orientation; extra, the last channel's kind."""
    height, width, channels = samples.reshape(*samples.shape[:2], -1).shape
    strip = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    entries = {256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [samples.dtype.itemsize * 8] * channels)}
    entries |= {259: (SHORT, [1]), 262: (SHORT, [photometric]), 273: (LONG, [8])}
    entries |= {274: (SHORT, [tags["orientation"]])} if "orientation" in tags else {}
    entries |= {277: (SHORT, [channels]), 278: (LONG, [height]), 279: (LONG, [len(strip)])}
    entries |= {338: (SHORT, [tags["extra"]])} if "extra" in tags else {}
    entries |= {339: (SHORT, [KINDS[samples.dtype.kind]] * channels)}
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(strip))
    return start + strip + directory(entries, order, 8 + len(strip))


def directory(entries: dict[int, tuple[int, list[int]]], order: str, at: int) -> bytes:
    """The entries by number; values of more than four bytes lie behind them."""
    listed, behind = b"", b""
    start_of_values = at + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in entries.items():
        value = struct.pack(f"{order}{len(values)}{'H' if kind == SHORT else 'I'}", *values)
        if len(value) > 4:
            behind, value = behind + value, struct.pack(f"{order}I", start_of_values + len(behind))
        listed += struct.pack(f"{order}HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return struct.pack(f"{order}H", len(entries)) + listed + bytes(4) + behind
