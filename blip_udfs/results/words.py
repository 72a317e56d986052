"""The words of `blip-udfs search` that say what is searched for: the fields of a Question."""

from __future__ import annotations

from collections.abc import Callable

import click

POSITIVE = click.IntRange(min=1)
SECONDS = click.FloatRange(min=0)
QUESTION = (
    click.argument("sentences", nargs=-1),
    click.option("--table", default="once_embeddings", help="Table with image and embedding, or its Parquet folder."),
    click.option("--where", help="SQL condition that rows must meet first."),
    click.option("-k", default=12, type=POSITIVE, help="How many rows."),
    click.option("--any", "any_of", is_flag=True, help="Any of several sentences, not all."),
    click.option("--not", "but_not", multiple=True, help="A sentence that must not match; may be repeated."),
    click.option("--like", help="An image to find similar ones of, in place of sentences."),
    click.option("--one-per", help="Column: of rows with the same value only the best, such as sequence_id."),
    click.option("--seconds", type=float, help="The best of each sequence and so many seconds."),
    click.option("--min-score", type=float, help="No row with less; `blip-udfs evaluate` says which is right."),
    click.option("--then", metavar="SENTENCE", help="What the same drive shows afterwards, by whichever camera."),
    click.option("--within", default=3.0, show_default=True, type=SECONDS, help="Of --then: at most so many seconds."),
    click.option("--all-cameras", is_flag=True, help="Of each moment what all cameras saw, side by side."),
    click.option("--intervals", "gap", type=SECONDS, metavar="SECONDS", help="When it lasts, shorter gaps bridged."),
    click.option("--candidates", default=256, type=click.IntRange(min=0), help="Rows that ITM scores; 0 = all."),
)


def question(command: Callable) -> Callable:
    """The command, with these words."""
    for each in reversed(QUESTION):
        command = each(command)
    return command
