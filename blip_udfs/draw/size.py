"""The words of a size on a command line -> width and height, in pixels."""

from __future__ import annotations

import click


class Size(click.ParamType):
    """960x510 -> (960, 510)."""

    name = "WIDTHxHEIGHT"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.lower().partition("x")
        if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
            self.fail(f"expected WIDTHxHEIGHT such as 960x510, got {value}", param, ctx)
        return int(width), int(height)
