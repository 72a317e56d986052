"""The reference: pages of examples are read and written, their results are real, and what is not so is said."""

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from blip_udfs.reference import build as reference
from blip_udfs.spark import catalog, pages
from blip_udfs.spark.catalog import CATALOG
from blip_udfs.spark.pages import Example

PAGE = """\
-- One comment,
-- of two lines.
SELECT 1 AS one,
       2 AS two;
--> +---+---+
--> |one|two|
--> +---+---+
--> |1  |2  |
--> +---+---+

SET spark.blip.model = /models/none;

SELECT blip_model();
--> ModelError: model '/models/none': expected demo
"""


def test_a_page_is_read_and_written_back():
    table, setting, error = pages.parsed(PAGE)
    assert table.prose == "One comment,\nof two lines."
    assert table.statement == "SELECT 1 AS one,\n       2 AS two;"
    assert table.result.splitlines()[3] == "|1  |2  |"
    assert setting == Example("", "SET spark.blip.model = /models/none;")
    assert error.result == "ModelError: model '/models/none': expected demo"
    assert pages.text([table, setting, error]) == PAGE


def test_empty_lines_of_a_result_stay():
    example = Example("", "SELECT 1;", "one\n\nthree")
    assert pages.parsed(pages.text([example])) == [example]


@pytest.mark.parametrize(
    "paragraph",
    ["SELECT 1", "-- only a comment", "--> a result", "SELECT 1;\n-- a comment below", "--> a result\nSELECT 1;"],
)
def test_a_paragraph_that_is_no_example_is_refused(paragraph):
    with pytest.raises(
        ValueError, match="expected comments, a statement with ; at its end, and its result in -->, got"
    ):
        pages.parsed(f"SELECT 1;\n\n{paragraph}\n")


@pytest.mark.parametrize("function", CATALOG, ids=lambda function: function.name)
def test_each_page_calls_its_function_and_shows_its_errors(function):
    examples = pages.read(function.name)
    assert all(each.result for each in examples if each.statement.startswith("SELECT"))
    assert function.name in examples[0].statement and examples[0].result.startswith("+")  # what DESCRIBE FUNCTION shows
    assert any(each.result and not each.result.startswith("+") for each in examples), "no error is shown"


@pytest.mark.parametrize("function", CATALOG, ids=lambda function: function.name)
def test_the_order_of_each_result_is_told_by_its_statement(function):
    """Rows that ORDER BY leaves equal come in either order: a page that shows them differs from run to run."""
    for each in pages.read(function.name):
        assert not tied(each), each.statement


def test_rows_that_order_by_leaves_equal_are_found():
    example = Example("", "SELECT a, b FROM t\nORDER BY a DESC;", "+-+-+\n|a|b|\n+-+-+\n|2|1|\n|1|1|\n|1|2|\n+-+-+")
    assert tied(example)
    assert not tied(replace(example, statement="SELECT a, b FROM t ORDER BY a DESC, b LIMIT 3;"))
    assert not tied(replace(example, statement="SELECT a, b FROM t ORDER BY a DESC, t.image;"))
    assert not tied(replace(example, statement="SELECT a, b FROM (SELECT * FROM t ORDER BY a);"))


def tied(example):
    """Whether printed rows are equal in all that the outer ORDER BY names; a column that is not printed tells them."""
    outer = example.statement
    while (shorter := re.sub(r"\([^()]*\)", "", outer)) != outer:
        outer = shorter
    ordered = re.search(r"ORDER BY ([^;]*?)(?: LIMIT \d+)?;", outer)
    if not ordered or not example.result.startswith("+"):
        return False
    header, *rows = (line.strip("|").split("|") for line in example.result.splitlines() if line.startswith("|"))
    columns = [name.strip() for name in header]
    keys = [key.split()[0] for key in ordered[1].split(",")]
    if not set(keys) <= set(columns):
        return False
    shown = [tuple(row[columns.index(key)] for key in keys) for row in rows]
    return len(set(shown)) < len(shown)


def test_the_page_of_all_is_rendered_from_catalog_and_examples():
    page = reference.render({function.name: pages.read(function.name) for function in CATALOG})
    assert page == (reference.SQL / "README.md").read_text(), "run `make reference`"
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [*(function.name for function in CATALOG), "Settings"]


def test_each_function_says_what_it_takes_gives_and_raises():
    for function in CATALOG:
        assert function.usage and function.value and function.since
        assert all(re.match(r"\w+(Error|Exception) when ", each) for each in function.raises)


def test_a_function_without_a_page_and_a_page_without_a_function_are_named():
    assert reference.strays({"blip_a", "blip_b"}, {"blip_b", "blip_c"}) == [
        "blip_a has no page: write sql/functions/blip_a.sql, examples that show what it gives and raises, and run "
        "`make reference`",
        "sql/functions/blip_c.sql is of no function in blip_udfs/spark/catalog.py: remove it",
    ]


def test_the_command_names_a_function_without_a_page(monkeypatch):
    monkeypatch.setattr(pages, "names", lambda: [f.name for f in CATALOG if f.name != "blip_itm"])
    done = CliRunner().invoke(reference.main, ["--check"])
    assert done.exit_code == 1 and "blip_itm has no page" in done.output


IMAGE = "file:/data/ONCE/data/000000/cam01/1616000000000.jpg"
RULE = "-" * len(IMAGE)
TABLE = f"+{RULE}+\n|{'image':{len(IMAGE)}}|\n+{RULE}+\n|{IMAGE}|\n+{RULE}+"
NO_TREE = (
    "read_once: root: expected an ONCE tree, data/<sequence>/<camera>/<frame>.jpg, got '/data/ONCE/data', which has no "
    "folder data"
)
RIGHT = [
    Example("", "SELECT image FROM read_once('/data/ONCE') ORDER BY image LIMIT 1;", TABLE),
    Example("", "SELECT * FROM read_once('/data/ONCE/data');", NO_TREE),
    Example("", "SET spark.blip.itm.token = cls;"),
    Example("", "CREATE TEMPORARY VIEW two AS SELECT 2 AS two;"),
]
WORKERS = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "blip_udfs/spark/batches.py", line 232, in results
    raise fatal
blip_udfs.files.sources.ImageError: /data/x.jpg: no such file
"""


def test_an_error_is_shown_without_what_differs_from_run_to_run():
    assert reference.told(WORKERS) == "ImageError: /data/x.jpg: no such file"
    sparks = "[UNRESOLVED_COLUMN] A column `x` cannot be resolved. SQLSTATE: 42703; line 1 pos 7;\n'Project ['x]\n"
    assert reference.told(sparks) == "[UNRESOLVED_COLUMN] A column `x` cannot be resolved."


def test_a_page_is_run_and_a_wrong_result_is_reported_with_its_difference(spark, once_tree, tmp_path, monkeypatch):
    wrong = [replace(each, result="no error") if each.result == NO_TREE else each for each in RIGHT]
    monkeypatch.setattr(pages, "read", lambda name: wrong)
    assert reference.rerun(spark.newSession(), "any", once_tree) == RIGHT

    monkeypatch.setattr(reference, "SQL", tmp_path / "sql")
    page = tmp_path / "sql" / "functions" / "any.sql"
    page.parent.mkdir(parents=True)
    page.write_text(pages.text(wrong))
    first, second, *lines = reference.differences({page: pages.text(RIGHT)})
    assert (first, second) == ("--- sql/functions/any.sql", "+++ sql/functions/any.sql, as it is now")
    assert [line for line in lines if line[0] in "+-"] == ["---> no error", f"+--> {NO_TREE}"]
    assert not list(reference.differences({page: pages.text(wrong)}))


def test_describe_function_says_what_the_catalog_says(spark):
    for function in CATALOG:
        assert not list(reference.described(spark, function))
    other = replace(catalog.blip_itm, usage="Something else")
    lines = list(reference.described(spark, other))
    assert lines[0] == "--- DESCRIBE FUNCTION EXTENDED blip_itm"
    assert any(line.startswith("+Usage: blip_itm(image, text) - Something else. Returns DOUBLE: ") for line in lines)
