"""SQL scripts: statements are cut where Spark's SQL cuts them, and run in a session with their variables."""

import pytest

from blip_udfs.spark import scripts

SCRIPTS = sorted(path.relative_to(scripts.folder()).as_posix() for path in scripts.folder().rglob("*.sql"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1;\n\n-- two\nSELECT 2", ["SELECT 1", "-- two\nSELECT 2"]),
        ("SELECT ';\n';\nSELECT \";\";", ["SELECT ';\n'", 'SELECT ";"']),
        ("SELECT 'it\\'s; so'; SELECT 'x''; y';", ["SELECT 'it\\'s; so'", "SELECT 'x''; y'"]),
        ("SELECT `a;b` FROM t;", ["SELECT `a;b` FROM t"]),
        ("-- one; and more;\nSELECT 1; -- the end;\n", ["-- one; and more;\nSELECT 1"]),
        ("/* a; /* b; */ c; */ SELECT 1;", ["/* a; /* b; */ c; */ SELECT 1"]),
        ("SELECT /*+ BROADCAST(t) */ * FROM t;", ["SELECT /*+ BROADCAST(t) */ * FROM t"]),
        ("SET a = ${root};;\n;SELECT '${root}';", ["SET a = ${root}", "SELECT '${root}'"]),
        ("-- nothing; at all", []),
        ("", []),
    ],
)
def test_a_script_is_cut_at_its_semicolons(text, expected):
    assert scripts.split(text) == expected


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_of_a_script_is_lost(name):
    """But the semicolons between statements and what stands below the last."""
    text = scripts.path(name).read_text()
    found = scripts.statements(scripts.path(name))
    assert found and all(each.rstrip()[-1] != ";" for each in found)
    place = 0
    for each in found:
        assert text[place:].lstrip().startswith(each)
        place = text.index(each, place) + len(each) + 1
    assert all(line.startswith("--") for line in text[place:].split("\n") if line.strip())


def test_a_script_runs_with_its_variables(spark, tmp_path, monkeypatch):
    (tmp_path / "own.sql").write_text(
        "-- A view; of one row.\nCREATE TEMPORARY VIEW own AS SELECT '${word};' AS w;\nSELECT w FROM own"
    )
    monkeypatch.setattr(scripts, "FOLDERS", (tmp_path,))
    done = list(scripts.run(spark, "own.sql", word="blip"))
    assert [statement.split()[0] for statement, _ in done] == ["--", "SELECT"]
    assert done[1][1].collect() == [("blip;",)]
    spark.catalog.dropTempView("own")


def test_a_script_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(FileNotFoundError, match=r"no script 9_none.sql in .*: it has 1_images.sql, 2_emb"):
        scripts.path("9_none.sql")
