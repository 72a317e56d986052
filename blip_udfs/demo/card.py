"""What training and evaluation left -> the model's card: `python -m blip_udfs.demo.card EVALUATION_FOLDER`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from blip_udfs.checkpoint import DEMO
from blip_udfs.templates import plain


@click.command()
@click.argument("evaluation", type=click.Path(exists=True, path_type=Path))
@click.option("--command", required=True, help="The command that made the evaluation.")
@click.option("--model", default=DEMO, type=click.Path(exists=True, path_type=Path), help="The model's folder.")
def main(evaluation: Path, command: str, model: Path) -> None:
    """Writes README.md of the model's folder."""
    training = json.loads((model / "training.json").read_text())
    tables = (evaluation / "evaluation.md").read_text().strip()
    page = plain("blip_udfs.demo").get_template("card.md.j2").render(t=training, tables=tables, command=command)
    (model / "README.md").write_text(page)


if __name__ == "__main__":
    main()
