"""A command of the extension -> what a worker runs for it.

The commands name `bound` by this module, so both are part of the contract. Nothing is imported here that takes long:
what a worker's first query waits for is said before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from pyspark.sql.types import _parse_datatype_json_string

from blip_udfs.blip.checkpoint import announce
from blip_udfs.spark.settings import Settings

WITHOUT_MODEL = ("blip_bound", "blip_image_error", "blip_similarity", "once_text")


def bound(name: str, returns: bytes, settings: str) -> tuple[Callable, Any]:
    """What a command unpickles to: the function `name` with the settings that its query was analyzed with (JSON, key ->
    value), and its return type (JSON too)."""
    of_query = Settings.read(json.loads(settings).get)
    if name not in WITHOUT_MODEL and "blip_udfs.blip.model" not in sys.modules:
        announce(of_query.model)
    from blip_udfs.spark import worker

    return worker.with_settings(getattr(worker, name), of_query), _parse_datatype_json_string(returns.decode())
