"""sql/functions/<name>.sql -> a function's examples, each with the result that it gave; and back."""

from __future__ import annotations

from dataclasses import dataclass

from blip_udfs.spark import scripts

FOLDER = "functions"
MARK = "-->"  # begins a line of a result


@dataclass(frozen=True)
class Example:
    """A statement (with its semicolon), what is said above it, and what it gave: a table, an error, or nothing."""

    prose: str
    statement: str
    result: str = ""

    def __str__(self) -> str:
        """As it stands on the page."""
        said = [f"-- {line}" for line in self.prose.splitlines()]
        given = [f"{MARK} {line}".rstrip() for line in self.result.splitlines()]
        return "\n".join([*said, self.statement, *given])


def names() -> list[str]:
    """The functions that have a page."""
    return sorted(page.stem for page in (scripts.folder() / FOLDER).glob("*.sql"))


def read(name: str) -> list[Example]:
    """The examples on a function's page; FileNotFoundError where there is none."""
    page = scripts.folder() / FOLDER / f"{name}.sql"
    if not page.exists():
        raise FileNotFoundError(missing(name))
    try:
        return parsed(page.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{page}: {error}") from None


def missing(name: str) -> str:
    return (
        f"{name} has no page: write sql/functions/{name}.sql, examples that show what it gives and raises, and run "
        "`make reference`"
    )


def parsed(text: str) -> list[Example]:
    """The examples of a page's text, with empty lines between them.

    Raises ValueError for a paragraph that is no example.
    """
    return [example(paragraph) for paragraph in text.strip().split("\n\n")]


def example(paragraph: str) -> Example:
    said: list[str] = []
    statement: list[str] = []
    given: list[str] = []
    for line in paragraph.splitlines():
        if line.startswith(MARK):
            given.append(line.removeprefix(MARK).removeprefix(" "))
        elif line.startswith("-- ") and not statement:
            said.append(line.removeprefix("-- "))
        else:
            statement.append(line)
    found = Example("\n".join(said), "\n".join(statement), "\n".join(given))
    if str(found) != paragraph.strip() or not found.statement.endswith(";"):
        raise ValueError(
            f"expected comments, a statement with ; at its end, and its result in {MARK}, got\n{paragraph}"
        )
    return found


def text(examples: list[Example]) -> str:
    """The page: `parsed` undone."""
    return "\n\n".join(map(str, examples)) + "\n"
