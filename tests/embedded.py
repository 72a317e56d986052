"""What an embedding job left in its table, and what should be there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, Row

from blip_udfs.blip.model import load
from blip_udfs.files.images import pixels


def by_image(table: DataFrame) -> dict[str, list[Row]]:
    """The rows by the image's path, the oldest first."""
    rows: dict[str, list[Row]] = {}
    for row in sorted(table.collect(), key=lambda row: (row.model, row.version)):
        rows.setdefault(row.image.removeprefix("file:"), []).append(row)
    return rows


def expected(folder: Path, images: Iterable[Path | str]) -> dict[str, np.ndarray]:
    """Embeddings by the model called directly, image by image."""
    model = load(str(folder))
    return {str(image): model.embed_images(pixels(str(image), model.image_size)[None])[0] for image in images}


def check(rows: dict[str, list[Row]], wanted: dict[str, np.ndarray]) -> None:
    """Each of the images once, with its embedding."""
    assert set(rows) == set(wanted)
    assert {len(each) for each in rows.values()} <= {1}
    for image, (row,) in rows.items():
        assert row.error is None
        np.testing.assert_allclose(row.embedding, wanted[image], atol=1e-6, err_msg=image)
