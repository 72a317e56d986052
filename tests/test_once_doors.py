"""read_once in SQL and in Python without the jar: the same rows of any tree, and those that plain Python gives."""

import json
import subprocess
import sys
from datetime import timezone
from pathlib import Path

import pytest

from blip_udfs import read_once
from blip_udfs.files.once import COLUMNS, by_readers, problems
from tests.trees import plant

SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.endurance) for seed in range(3, 10))]


def of_door(rows) -> dict[str, dict]:
    """By path, every column of every row."""
    assert rows.columns == [column.name for column in COLUMNS]
    every = [row.asDict() for row in rows.collect()]
    for row in every:
        for name in ("timestamp", "modified"):
            row[name] = row[name] and row[name].astimezone(timezone.utc)
    by_path = {row["image"]: row for row in every}
    assert len(by_path) == len(every)
    return by_path


@pytest.mark.parametrize("seed", SEEDS)
def test_any_tree(spark, tmp_path, seed):
    root = tmp_path / "o n{c}e%20" / "data"
    drawn = plant(root, seed)
    rows = of_door(spark.sql("SELECT * FROM read_once(:root)", {"root": str(root)}))
    assert of_door(by_readers(spark, str(root))) == rows
    assert set(rows) == {f"file:{root / path}" for path in drawn.rows}
    modified = {f"file:{root / path}": (root / path).stat().st_mtime for path in drawn.rows}
    assert {path: row.pop("modified").timestamp() for path, row in rows.items()} == pytest.approx(modified, abs=1e-6)
    expected = {f"file:{root / path}": row | {"image": f"file:{root / path}"} for path, row in drawn.rows.items()}
    assert rows == expected


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("doors") / "once"
    return plant(root, 2).root


def by_python(spark, root, **options):
    return by_readers(spark, str(root), **options)


def by_sql(spark, root, **options):
    named = "".join(f", {name} => {value!r}" for name, value in options.items())
    return spark.sql(f"SELECT * FROM read_once('{root}'{named})")


DOORS = [by_sql, by_python]


@pytest.mark.parametrize("v1", ["", "avro,csv,json,kafka,orc,parquet,text"])
def test_whatever_sources_are_v1(spark, tree, v1):
    expected = of_door(by_sql(spark, tree))
    spark.conf.set("spark.sql.sources.useV1SourceList", v1)
    try:
        for door in DOORS:
            assert of_door(door(spark, tree)) == expected
    finally:
        spark.conf.unset("spark.sql.sources.useV1SourceList")


@pytest.mark.parametrize("door", DOORS)
def test_a_cached_view_answers_its_second_query_and_the_same_call(spark, tree, door):
    def cached(rows) -> bool:
        return "InMemoryRelation" in rows._jdf.queryExecution().withCachedData().toString()

    door(spark, tree).createOrReplaceTempView("kept")
    other = door(spark, tree)
    assert not cached(other)
    spark.sql("CACHE TABLE kept")
    try:
        assert cached(spark.sql("SELECT camera, count(*) FROM kept GROUP BY camera"))
        assert cached(door(spark, tree))
        assert not cached(door(spark, tree, image_bytes=True))
        assert of_door(spark.table("kept")) == of_door(door(spark, tree))
    finally:
        spark.sql("UNCACHE TABLE kept")
        spark.catalog.dropTempView("kept")


@pytest.mark.parametrize("door", DOORS)
def test_image_bytes_are_the_files_own(spark, tree, door):
    paths = {
        (row.sequence_id, row.camera, row.frame_id, row.modified): row.image for row in door(spark, tree).collect()
    }
    for row in door(spark, tree, image_bytes=True).collect():
        path = paths[row.sequence_id, row.camera, row.frame_id, row.modified].removeprefix("file:")
        assert bytes(row.image) == Path(path).read_bytes()


@pytest.mark.parametrize("door", DOORS)
def test_a_split_without_its_list_names_the_file(spark, tmp_path, door):
    (tmp_path / "data" / "000076" / "cam01").mkdir(parents=True)
    (tmp_path / "data" / "000076" / "cam01" / "1.jpg").write_bytes(b"x")
    for makes in (lambda: None, (tmp_path / "ImageSets").mkdir):
        makes()
        with pytest.raises(Exception, match=f"expected the list {tmp_path}/ImageSets/val.txt, got no such file"):
            door(spark, tmp_path, split="val")
    (tmp_path / "ImageSets" / "val.txt").touch()
    assert door(spark, tmp_path, split="val").collect() == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("between", ["ONCE", "part/one"])
def test_a_tree_whose_images_all_lie_too_deep_is_told_with_one_of_them(spark, tmp_path, door, between):
    image = tmp_path / "data" / between / "000076" / "cam01" / "1.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"x")
    with pytest.raises(
        Exception, match=f"no image lies where one is expected, data/<seq.*, but deeper, as file:{image}"
    ):
        door(spark, tmp_path).collect()


def test_python_takes_the_jars_function_where_it_is(spark, tree):
    plan = read_once(spark, str(tree))._jdf.queryExecution().analyzed().toString()
    assert "mapInPandas" not in plan and of_door(read_once(spark, str(tree))) == of_door(by_sql(spark, tree))


@pytest.mark.endurance
def test_a_session_without_the_jar(spark, tree):
    """In a process of its own, as a user's notebook: the same rows."""
    code = f"""
import json
from pyspark.sql import SparkSession
from blip_udfs import read_once
spark = SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC").getOrCreate()
print(json.dumps(sorted(read_once(spark, {str(tree)!r}).toJSON().collect())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == sorted(by_sql(spark, tree).toJSON().collect())


def test_problems_name_what_a_tree_lacks(spark, tmp_path):
    for path in ("data/1/cam01/a.jpg", "data/1/cam01/b.jpg", "data/1/cam03/a.jpg", "data/1/cam03/old/b.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    frames = [{"frame_id": frame, "timestamp": "noon" if frame == "a" else None} for frame in "abc"]
    (tmp_path / "data" / "1" / "1.json").write_text(json.dumps({"frames": frames}))
    found = [tuple(row) for row in problems(spark, str(tmp_path)).collect()]
    assert found == [
        (None, None, f"images lie too deep in file:{tmp_path}/data/1/cam03/old", 1),
        ("1", "cam01", "no image for some frames of data/1/1.json", 1),
        ("1", "cam01", "timestamp of another form for some frames in data/1/1.json", 1),
        ("1", "cam03", "no image for some frames of data/1/1.json", 2),
        ("1", "cam03", "timestamp of another form for some frames in data/1/1.json", 1),
    ]
