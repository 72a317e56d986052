"""A model's name -> the folder that holds it, its files, and their content digest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blip_udfs.files import notes
from blip_udfs.files.doors import allowed_models

DEMO = Path(__file__).parent.parent / "demo" / "model"
PATTERNS = ("*.json", "vocab.txt", "*.safetensors")  # what is asked of the hub; never a pickle, never code
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
HUB_ID = re.compile(r"(?!\.)[\w.-]+/[\w.-]+")
LONGEST_NAME = 4096  # characters
MAX_JSON = 64 << 20  # bytes of a configuration or vocabulary, which are read whole; weights are mapped
LARGE = 64 << 20  # bytes of a model whose digest is worth a note: it takes longer to read than to look up
SETTLED = 2.0  # seconds after which a file that changes again has another modification time, whatever its clock's steps
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


class ModelError(ValueError):
    """A model that cannot be loaded or used: the message says what is wrong with it and how to mend it."""


announced: set[str] = set()  # models that this process has said it will load, and has not yet


def announce(name: str) -> None:
    """Says what is awaited, before the libraries and the weights are read; here, where nothing has to be imported."""
    if name not in announced:
        announced.add(name)
        print(f"blip_udfs: loading {name} and what it runs on ...", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model, in the order of the digest."""

    name: str
    folder: Path
    config: Path
    preprocessor: Path | None
    tokenizer: tuple[Path, ...]
    weights: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.config, *([self.preprocessor] if self.preprocessor else []), *self.tokenizer, *self.weights)

    @property
    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Changes when a file is replaced: a worker that lives on then loads the new one."""
        return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in self.files)

    def digest(self) -> str:
        """First 12 hexadecimal digits of SHA-256 over `files`: of each its name, a zero byte, its length in 8 bytes
        little-endian, its content. The same files give the same digest wherever they lie. Large ones are read once per
        machine: a note tells later processes, until a file is another by its size, modification time or inode."""
        if sum(file.stat().st_size for file in self.files) < LARGE:
            return self._read_digest()
        place, now = str(self.folder), self._identity()
        stamp, _, known = (notes.read("digests", place) or "").partition(" ")
        if stamp == now and known:
            return known
        digest, newest = self._read_digest(), max(file.stat().st_mtime for file in self.files)
        if self._identity() == now and time.time() - newest > SETTLED:
            notes.write("digests", place, f"{now} {digest}")
        return digest

    def _identity(self) -> str:
        """Of the files themselves, without their content."""
        inodes = [file.stat().st_ino for file in self.files]
        return hashlib.sha256(repr((self.stamp, inodes)).encode()).hexdigest()

    def _read_digest(self) -> str:
        total = hashlib.sha256()
        for file in self.files:
            total.update(file.name.encode() + b"\0" + file.stat().st_size.to_bytes(8, "little"))
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    total.update(block)
        return total.hexdigest()[:12]


def find(name: str) -> Checkpoint:
    """The files of `demo`, a local folder, or a hub id (downloaded once, then from the hub's cache).

    Raises ModelError when the name is not among BLIP_ALLOWED_MODELS (names separated by commas; a folder allows
    what is in it), or files are missing.
    """
    if len(name) > LONGEST_NAME or "\0" in name:
        raise ModelError(f"model: expected a name, got {len(name):,} characters, which begin {name[:40]!r}")
    folder = Path(os.path.expanduser(name.removeprefix("file://").removeprefix("file:")))  # noqa: PTH111
    check_allowed(name, folder)
    if name == "demo":
        return files_of(name, DEMO)
    if folder.is_dir():
        return files_of(folder.resolve().name, folder.resolve())
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"model '{name}': expected demo, a folder that exists, or a hub id such as organisation/model")
    return files_of(name, download(name))


def check_allowed(name: str, folder: Path) -> None:
    allowed = allowed_models()
    if allowed is None or name in allowed:
        return
    folders = [real for each in allowed if "/" in each and (real := real_folder(each))]
    real = real_folder(folder)
    # a folder that is there: else a hub id would pass as a folder that could be there
    if not (real and any(each in (real, *real.parents) for each in folders)):
        raise ModelError(
            f"model '{name}' is not allowed here, only {', '.join(allowed)}; whoever runs the cluster can add it to "
            "BLIP_ALLOWED_MODELS on the executors"
        )


def real_folder(folder: str | Path) -> Path | None:
    """Without links; None where it is no folder or may not be looked at, which is not told apart."""
    try:
        real = Path(os.path.realpath(folder))
        return real if real.is_dir() else None
    except (OSError, RuntimeError):
        return None


def download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(PATTERNS)))
    except (OSError, ValueError) as error:  # no network, no such repository, no permission: the hub says which
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model '{name}': no such folder, and the Hugging Face hub did not give it: {reason}; without a network, "
            "copy its folder to the workers and name that"
        ) from None


def files_of(name: str, folder: Path) -> Checkpoint:
    return Checkpoint(
        name=name,
        folder=folder,
        config=existing(folder / "config.json", name),
        preprocessor=processor_file(name, folder),
        tokenizer=tokenizer_files(name, folder),
        weights=weight_files(name, folder),
    )


def existing(file: Path, name: str) -> Path:
    if not file.is_file():
        raise ModelError(f"model '{name}': expected {file.name} in {file.parent}, found none; is the copy complete?")
    if file.suffix != ".safetensors" and (size := file.stat().st_size) > MAX_JSON:
        raise ModelError(f"model '{name}': expected {file} of at most {MAX_JSON:,} bytes, got {size:,}")
    return file


def processor_file(name: str, folder: Path) -> Path | None:
    """Of transformers' two the one that it takes: the newer processor_config.json where that holds image settings."""
    newer, own = folder / "processor_config.json", folder / "preprocessor_config.json"
    there = [existing(file, name) for file in (newer, own) if file.exists()]
    if newer in there and read_json(newer).get("image_processor") is not None:
        return newer
    return there[-1] if there else None


def tokenizer_files(name: str, folder: Path) -> tuple[Path, ...]:
    """The words, then the settings that are there: transformers reads both, and so they belong to the digest."""
    words = folder / "tokenizer.json"
    if not words.is_file():
        words = folder / "vocab.txt"
    settings = [existing(folder / file, name) for file in TOKENIZER_SETTINGS if (folder / file).exists()]
    return (existing(words, name), *settings)


def weight_files(name: str, folder: Path) -> tuple[Path, ...]:
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        return (single,)
    if not index.is_file():
        raise ModelError(without_weights(name, folder))
    shards = sorted(set(read_json(existing(index, name)).get("weight_map", {}).values()))
    return tuple(existing(folder / Path(shard).name, name) for shard in shards)


def without_weights(name: str, folder: Path) -> str:
    there = {file.name for file in folder.iterdir()} | files_on_hub(name)
    pickles = [file for file in there if file.endswith(PICKLES)]
    if pickles:
        return (
            f"model '{name}': expected model.safetensors in {folder}, found {', '.join(sorted(pickles))}, which is a "
            "pickle and is not read; save it with safetensors"
        )
    return f"model '{name}': expected model.safetensors in {folder}, found none; is the copy complete?"


def files_on_hub(name: str) -> set[str]:
    """What the hub has of a model, of which only PATTERNS are fetched; nothing where it cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return set(HfApi().list_repo_files(name)) if HUB_ID.fullmatch(name) else set()
    except Exception:  # no network, no permission, of many types: the error is then told without it
        return set()


def read_json(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{file}: expected JSON: {error}") from None
    if not isinstance(record, dict):
        raise ModelError(f"{file}: expected a JSON object, got {type(record).__name__}")
    return record
