"""What training and evaluation left -> the model's card: `python -m blip_udfs.demo.card EVALUATION_FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from blip_udfs.blip.checkpoint import DEMO
from blip_udfs.reference.templates import plain


@click.command()
@click.argument("evaluation", type=click.Path(exists=True, path_type=Path))
@click.option("--command", required=True, help="The command that made the evaluation.")
@click.option("--model", default=DEMO, type=click.Path(exists=True, path_type=Path), help="The model's folder.")
def main(evaluation: Path, command: str, model: Path) -> None:
    """Writes README.md of the model's folder."""
    training = json.loads((model / "training.json").read_text())
    written = (evaluation / name for name in ("evaluation.md", "moved.md"))
    tables = "\n\n".join(file.read_text().strip() for file in written if file.exists())
    (model / "README.md").write_text(page(training, tables, command))


def page(training: dict[str, Any], tables: str, command: str) -> str:
    """`training`: of training.json; `tables` in Markdown, made by `command`."""
    return plain("blip_udfs.demo").get_template("card.md.j2").render(t=training, tables=tables, command=command)


if __name__ == "__main__":
    main()
