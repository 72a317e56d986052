"""A dataset's name -> how its trees are read."""

from blip_udfs.files import once
from blip_udfs.files.dataset import Dataset

DATASETS: dict[str, Dataset] = {"once": once.ONCE}


def dataset(name: str) -> Dataset:
    """Raises ValueError for a name that is none of DATASETS."""
    if name not in DATASETS:
        raise ValueError(f"dataset: expected one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]
