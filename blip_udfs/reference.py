"""The catalog and the settings -> the reference page sql/README.md."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from blip_udfs.functions import CATALOG
from blip_udfs.session import SETTINGS

PAGE = Path(__file__).parent.parent / "sql" / "README.md"


def render() -> str:
    """The page's text (Markdown)."""
    environment = Environment(
        loader=PackageLoader("blip_udfs", "."),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("reference.md.j2").render(functions=CATALOG, settings=SETTINGS)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
