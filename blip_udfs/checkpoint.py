"""A model's name -> the folder that holds it, its files, and their content digest."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blip_udfs.doors import allowed_models

DEMO = Path(__file__).parent / "demo" / "model"
PATTERNS = ("*.json", "vocab.txt", "*.safetensors")  # what is asked of the hub; never a pickle, never code
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
LONGEST_NAME = 4096  # characters
MAX_JSON = 64 << 20  # bytes of a configuration or vocabulary, which are read whole; weights are mapped
OPENAI_CLIP_MEAN, OPENAI_CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3  # Pillow's number, as preprocessor_config.json writes it


class ModelError(ValueError):
    """A model that cannot be loaded or used: the message says what is wrong with it and how to mend it."""


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
        little-endian, its content. The same files give the same digest wherever they lie."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(file.name.encode() + b"\0" + file.stat().st_size.to_bytes(8, "little"))
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    total.update(block)
        return total.hexdigest()[:12]

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...], int | None]:
        """Mean, standard deviation and side in pixels of the image processor; CLIP's, which are BLIP's, without one."""
        record = read_json(self.preprocessor) if self.preprocessor else {}
        record = record.get("image_processor", record)  # processor_config.json holds it one level down
        if record.get("resample", BICUBIC) != BICUBIC:
            raise ModelError(f"{self.preprocessor}: expected resample 3 (bicubic), got {record['resample']}")
        size = record.get("size") or {}
        mean, std = record.get("image_mean") or OPENAI_CLIP_MEAN, record.get("image_std") or OPENAI_CLIP_STD
        return tuple(mean), tuple(std), size.get("height") if isinstance(size, dict) else size


def find(name: str) -> Checkpoint:
    """The files of `demo`, a local folder, or a hub id (downloaded once, then from the hub's cache).

    Raises ModelError when the name is not among BLIP_ALLOWED_MODELS (names separated by commas; a folder allows
    what is in it), or files are missing.
    """
    if len(name) > LONGEST_NAME or "\0" in name:
        raise ModelError(f"model: expected a name, got {len(name):,} characters, which begin {name[:40]!r}")
    folder = Path(name.removeprefix("file://").removeprefix("file:")).expanduser()
    check_allowed(name, folder)
    if name == "demo":
        return files_of(name, DEMO)
    if folder.is_dir():
        return files_of(folder.resolve().name, folder.resolve())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise ModelError(f"model '{name}': expected demo, a folder that exists, or a hub id such as organisation/model")
    return files_of(name, download(name))


def check_allowed(name: str, folder: Path) -> None:
    allowed = allowed_models()
    if not allowed or name in allowed:
        return
    folders = [Path(each).resolve() for each in allowed if "/" in each and Path(each).is_dir()]
    real = folder.resolve()
    # a folder that is there: else a hub id would pass as a folder that could be there
    if not (folder.is_dir() and any(each in (real, *real.parents) for each in folders)):
        raise ModelError(
            f"model '{name}' is not allowed here, only {', '.join(allowed)}; whoever runs the cluster can add it to "
            "BLIP_ALLOWED_MODELS on the executors"
        )


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
    preprocessors = [folder / file for file in ("preprocessor_config.json", "processor_config.json")]
    return Checkpoint(
        name=name,
        folder=folder,
        config=existing(folder / "config.json", name),
        preprocessor=next((existing(file, name) for file in preprocessors if file.exists()), None),
        tokenizer=tokenizer_files(name, folder),
        weights=weight_files(name, folder),
    )


def existing(file: Path, name: str) -> Path:
    if not file.is_file():
        raise ModelError(f"model '{name}': expected {file.name} in {file.parent}, found none; is the copy complete?")
    if file.suffix != ".safetensors" and (size := file.stat().st_size) > MAX_JSON:
        raise ModelError(f"model '{name}': expected {file} of at most {MAX_JSON:,} bytes, got {size:,}")
    return file


def tokenizer_files(name: str, folder: Path) -> tuple[Path, ...]:
    if (folder / "tokenizer.json").is_file():
        return (existing(folder / "tokenizer.json", name),)
    settings = folder / "tokenizer_config.json"
    vocabulary = existing(folder / "vocab.txt", name)
    return (vocabulary, existing(settings, name)) if settings.is_file() else (vocabulary,)


def weight_files(name: str, folder: Path) -> tuple[Path, ...]:
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file() or not index.is_file():
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
        if not single.is_file() and pickles:
            raise ModelError(
                f"model '{name}': expected model.safetensors in {folder}, found {', '.join(pickles)}, which is a "
                "pickle and is not read; save it with safetensors"
            )
        return (existing(single, name),)
    shards = sorted(set(read_json(existing(index, name)).get("weight_map", {}).values()))
    return tuple(existing(folder / Path(shard).name, name) for shard in shards)


def read_json(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{file}: expected JSON: {error}") from None
    if not isinstance(record, dict):
        raise ModelError(f"{file}: expected a JSON object, got {type(record).__name__}")
    return record
