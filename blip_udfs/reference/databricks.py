"""The catalog -> a script of Unity Catalog functions; batches of rows on Databricks -> what those functions give."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pandas as pd

from blip_udfs.blip.checkpoint import ModelError
from blip_udfs.spark import worker
from blip_udfs.spark.settings import PREFIX, Settings, defaults

if TYPE_CHECKING:
    from blip_udfs.spark.sql_function import Parameter, SqlFunction

MODEL = PREFIX + "model"
PACKAGE = "package:"  # a model that an installed Python package holds: these functions read no folders
IMAGE = "an encoded image's bytes, or patch features made by blip_image_features"  # no path: there are no files
TORCH = "{wheels}/torch-{version}+cpu-cp312-cp312-manylinux_2_28_x86_64.whl"  # PyPI's is built for CUDA, gigabytes


@dataclass(frozen=True)
class Target:
    """Where the functions go, and what is fixed in them because no `SET` of a session reaches them.

    `wheels` is the folder in a Volume with the wheels of blip_udfs and torch, `dependencies` are further pip
    requirements, `root` is the ONCE tree of the view `once`. `settings` are spark.blip.* keys and values; of the
    model, package:NAME means the files of the Python package NAME. Raises ValueError for a key or value that is none.
    """

    catalog: str = "main"
    schema: str = "blip"
    wheels: str = "/Volumes/main/blip/wheels"
    root: str = "/Volumes/main/blip/once"
    dependencies: tuple[str, ...] = ()
    environment_version: str = "None"
    settings: Mapping[str, str] = field(default_factory=lambda: {MODEL: "demo"})

    def __post_init__(self) -> None:
        checked(self.settings)

    @property
    def requirements(self) -> list[str]:
        """What pip installs for a function: torch without CUDA first, in the version that is installed here."""
        torch = version("torch").partition("+")[0]
        own = f"{self.wheels}/blip_udfs-{version('blip-udfs')}-py3-none-any.whl"
        return [TORCH.format(wheels=self.wheels, version=torch), own, *self.dependencies]

    def name(self, of: str) -> str:
        return ".".join(
            each if re.fullmatch(r"\w+", each) else quoted(each) for each in (self.catalog, self.schema, of)
        )


def render(target: Target | None = None) -> str:
    """The script's text: a statement for each scalar function of the catalog, the one that the view `once` calls, and
    that view."""
    from blip_udfs.reference.templates import plain
    from blip_udfs.spark.catalog import CATALOG, once_text

    environment = plain()
    environment.filters |= {"literal": literal, "json": json.dumps, "parameter": parameter, "hint": hint}
    made: list[SqlFunction] = [*(function for function in CATALOG if function.kind == "scalar"), once_text]
    chosen = target or Target()
    view = once_query(chosen)
    return environment.get_template("unity_catalog.sql.j2").render(target=chosen, functions=made, once=view)


def literal(text: str) -> str:
    """'text' as a SQL string; a doubled quote would be two strings side by side."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quoted(name: str) -> str:
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def parameter(given: Parameter) -> str:
    """One parameter's SQL. Unity Catalog functions are not overloaded: of two types it is the first, BINARY."""
    meaning = IMAGE if given.name == "image" else given.meaning
    return f"{given.name} {given.types[0]} COMMENT {literal(meaning)}"


def hint(function: SqlFunction) -> str:
    """The type of a handler's batches: one Series, or a tuple of them."""
    count = len(function.parameters)
    return "pd.Series" if count == 1 else f"tuple[{', '.join(['pd.Series'] * count)}]"


def once_query(target: Target) -> str:
    """What read_once(root, image_bytes => true) selects, from files that Databricks' read_files lists and reads."""
    from blip_udfs.files import listing, once

    def files(path: str, glob: str) -> str:
        return f"read_files({literal(path)}, format => 'binaryFile', pathGlobFilter => {literal(glob)})"

    root = target.root.rstrip("/")
    place, text = listing.below_any(root), f"{target.name('once_text')}(path, content)"
    images, records = files(f"{root}/data", listing.IMAGES), files(f"{root}/data", listing.JSON)
    relations = {
        "images": f"SELECT {', '.join(listing.image_columns(place))} FROM {images} "
        f"WHERE {place} RLIKE {literal(listing.IN_PLACE)}",
        "records": f"SELECT {', '.join(listing.record_columns(place, text))} FROM {records} "
        f"WHERE {place} RLIKE {literal(listing.RECORD)}",
        "lists": f"SELECT {listing.LIST_NAME} AS name, {text} AS value FROM {files(f'{root}/ImageSets', '*.txt')}",
    }
    query = once.query("content")
    query = query[query.index("WITH ") :]
    for relation, sql in relations.items():
        query = query.replace(f"{{{relation}}}", f"({sql})")
    return query.rstrip()


def run(name: str, rows: Iterator[Any], settings: Mapping[str, str]) -> Iterator[pd.Series]:
    """What the handler of the Unity Catalog function `name` does: a Series of results for each batch, as long.

    `rows` gives batches: a Series, or a tuple of one per parameter. Raises what the session's function raises.
    """
    function, chosen = getattr(worker, name), with_package(checked(settings))
    for batch in rows:
        results = list(function(iter([batch]), chosen))
        yield pd.concat(results, ignore_index=True) if results else pd.Series([], dtype=object)


def model_label(settings: Mapping[str, str]) -> str:
    """What the Unity Catalog function blip_model gives: name and digest of the model that is fixed in it."""
    return worker.blip_model(with_package(checked(settings)))


def checked(given: Mapping[str, str]) -> Settings:
    """The settings of a worker; ValueError for a key that is none, or a value that it does not take."""
    known = list(defaults()["all"])
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"setting {unknown[0]}: expected one of {', '.join(known)}")
    return Settings.read(given.get)


def with_package(settings: Settings) -> Settings:
    """The same, with the folder of an installed Python package in place of the model's name package:NAME."""
    if not settings.model.startswith(PACKAGE):
        return settings
    package = settings.model.removeprefix(PACKAGE)
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"model '{settings.model}': no Python package {package} is installed here; name its wheel in the "
            "function's ENVIRONMENT: blip-udfs databricks --dependency /Volumes/.../NAME.whl"
        )
    return replace(settings, model=found.submodule_search_locations[0])
