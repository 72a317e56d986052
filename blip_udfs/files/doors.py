"""The executors' environment, which an administrator decides -> what workers may read and load, and how large."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Door:
    """One environment variable: its default (as a number if it is a limit), and what it means."""

    variable: str
    default: int | str
    meaning: str


DOORS = (
    Door(
        "BLIP_READ_ROOTS",
        "anywhere; nowhere on a server",
        "folders, or URIs with ://, separated like PATH, that images named by path are read from; links and .. are "
        "resolved first. Unset on a server started by blip-udfs, no path is read",
    ),
    Door(
        "BLIP_ALLOWED_MODELS",
        "any; demo and the one it was started with on a server",
        "models by name, separated by commas: demo, hub ids, folders (which allow the folders in them); empty, demo "
        "alone",
    ),
    Door("BLIP_MAX_IMAGE_BYTES", 64 << 20, "bytes of one encoded image"),
    Door(
        "BLIP_MAX_IMAGE_PIXELS",
        170_000_000,
        "pixels of one image, counted before any is decoded; Pillow itself refuses 179 million",
    ),
    Door(
        "BLIP_IMAGE_SECONDS",
        120,
        "seconds in which the images of one forward pass are read and decoded; a worker that takes longer is ended, 0 "
        "lets it",
    ),
    Door(
        "BLIP_MAX_TEXT_CHARACTERS",
        100_000,
        "characters of one text, of which BLIP reads the first 35 tokens",
    ),
)


def defaults() -> dict[str, int]:
    """Of the limits, for the extension's jar."""
    return {door.variable: door.default for door in DOORS if isinstance(door.default, int)}


def limit(variable: str) -> int:
    """A limit that the environment of the workers may change."""
    default = next(door.default for door in DOORS if door.variable == variable)
    text = os.environ.get(variable, "")
    if text and not text.isdecimal():
        raise ValueError(f"{variable} = '{text}': expected a whole number; unset it for {default:,}")
    return int(text or default)


def read_roots() -> list[str] | None:
    """BLIP_READ_ROOTS as folders and URIs; empty where nothing may be read, None where all may."""
    text = os.environ.get("BLIP_READ_ROOTS")
    if text is None:
        return None
    end = re.escape(os.pathsep)
    uri = rf"[A-Za-z][\w+.-]*://(?:\[[^\]]*\]|[^/{end}]*)(?::\d+)?[^{end}]*"  # its host may have a port
    return [root.removeprefix("file://") for root in re.findall(rf"{uri}|[^{end}]+", text)]


def allowed_models() -> list[str] | None:
    """BLIP_ALLOWED_MODELS as names, the bundled demo where it names none; None where any may be loaded."""
    text = os.environ.get("BLIP_ALLOWED_MODELS")
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()] or ["demo"]


def of_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set there, to be handed on to executors."""
    return {door.variable: environment[door.variable] for door in DOORS if door.variable in environment}
