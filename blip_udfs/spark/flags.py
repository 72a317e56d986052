"""--conf, --jars and --packages of a command -> PYSPARK_SUBMIT_ARGS."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any

import click

from blip_udfs.spark.defaults import SUBMIT_ARGS


def handed_on(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None) -> None:
    """Puts a flag where Spark itself looks for flags of a session that starts in Python."""
    values = [value] if isinstance(value, str) else value or ()
    if odd := [each for each in values if param.name == "conf" and "=" not in each]:
        raise click.BadParameter(f"expected KEY=VALUE such as spark.executor.memory=4g, got {odd[0]}")
    words = shlex.join(word for each in values for word in (f"--{param.name}", each))
    earlier = os.environ.get(SUBMIT_ARGS, "pyspark-shell").strip().removesuffix("pyspark-shell")
    if words:
        os.environ[SUBMIT_ARGS] = f"{earlier.strip()} {words} pyspark-shell".strip()


def spark_flags(command: Callable) -> Callable:
    """--conf, --jars and --packages, as Spark's own tools take them."""
    shared: dict[str, Any] = {"expose_value": False, "callback": handed_on}
    for option in (
        click.option("--packages", metavar="COORDINATES", help="Maven packages by comma, as Spark's.", **shared),
        click.option("--jars", metavar="FILES", help="Jars by comma, as Spark's.", **shared),
        click.option("--conf", multiple=True, metavar="KEY=VALUE", help="A setting, as Spark's.", **shared),
    ):
        command = option(command)
    return command
