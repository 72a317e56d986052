"""A second dataset, by a file and its entry: read, embedded, searched and pruned as ONCE is."""

import json

import pytest
from click.testing import CliRunner

from blip_udfs import embed
from blip_udfs.cli import main
from blip_udfs.files import known, once
from blip_udfs.files.dataset import FILE, Column, Dataset
from blip_udfs.job.tables import Tables, ddl, names
from blip_udfs.spark.catalog import read_once
from tests.embedded import by_image, check, expected
from tests.planted import noise, write

COLUMNS = (Column("shop", "STRING"), Column("number", "INT"), Column("note", "STRING", kept=False), *FILE)


def read_shelf(spark, root):
    """shelves/<shop>/<number>.png, without any metadata."""
    files = spark.read.format("binaryFile").option("recursiveFileLookup", True).load(f"{root}/shelves")
    parts = "regexp_extract(path, '/([^/]+)/([0-9]+)[.]png$', {})"
    return files.selectExpr(
        f"{parts.format(1)} AS shop",
        f"CAST({parts.format(2)} AS INT) AS number",
        "'none' AS note",
        "path AS image",
        "modificationTime AS modified",
        "length",
    )


SHELF = Dataset(COLUMNS, series=("shop",), order="number", below="shelves", read=read_shelf)


@pytest.fixture
def shelf(monkeypatch, tmp_path):
    monkeypatch.setitem(known.DATASETS, "shelf", SHELF)
    images = [tmp_path / "shelves" / shop / f"{number}.png" for shop in ("north", "o'hara") for number in range(5)]
    for seed, image in enumerate(images):
        write(image, noise(seed, kind="PNG"))
    return images


@pytest.fixture
def table(spark, use_model):
    yield "shelf_embeddings"
    spark.sql("DROP VIEW IF EXISTS shelf_search")
    spark.sql("DROP TABLE IF EXISTS shelf_embeddings")


def test_another_dataset_is_embedded_and_kept_up_to_date(spark, table, tiny_model, tmp_path, shelf):
    done = embed(spark, str(tmp_path), table, dataset="shelf", images_per_trigger=4, skip_similar=0.0)
    assert (done.new, done.embedded) == (10, 10)
    check(by_image(spark.table(table)), expected(tiny_model, shelf))
    assert spark.table(table).columns == [
        *("number", "image", "modified", "length", "embedding", "model", "error", "similar_to", "version"),
        *("shop", "batch"),
    ]
    assert {(row.shop, row.number) for row in spark.table("shelf_search").collect()} == {
        (image.parent.name, int(image.stem)) for image in shelf
    }
    write(shelf[0], noise(99, kind="PNG"), later=60)
    for image in shelf[5:]:
        image.unlink()
    again = embed(spark, str(tmp_path), table, dataset="shelf", prune=True)
    assert (again.changed, again.deleted, again.images, again.pruned) == (1, 5, 1, 6)
    check(by_image(spark.table(table)), expected(tiny_model, shelf[:5]))
    only = embed(spark, str(tmp_path), table, dataset="shelf", where="shop = 'none'", dry_run=True)
    assert (only.new, only.done_before) == (0, 0)


def test_a_dataset_that_is_not_known_is_told(spark, tmp_path):
    with pytest.raises(ValueError, match="dataset: expected one of once, got 'waymo'"):
        embed(spark, str(tmp_path), dataset="waymo")
    done = CliRunner().invoke(main, ["embed", "--source", str(tmp_path), "--dataset", "waymo"])
    assert done.exit_code == 2 and "'waymo' is not 'once'" in done.output


@pytest.mark.parametrize(
    ("columns", "missing"),
    [(FILE[1:], "image"), (FILE, "shop"), ((*FILE, Column("shop", "STRING", kept=False)), "shop")],
)
def test_a_dataset_gives_files_and_its_key(columns, missing):
    with pytest.raises(ValueError, match=f"dataset: expected the column {missing}, kept"):
        Dataset(columns, series=("shop",), order="length", below="", read=read_shelf)


def test_all_of_onces_columns_are_from_its_list(spark, once_tree, monkeypatch):
    """What SQL describes, what both doors give, and what the job's tables keep."""
    listed = names(once.COLUMNS)
    assert [field.name for field in read_once.returns.fields] == listed
    assert ddl(once.COLUMNS).lower() == ", ".join(f"{f.name} {f.dataType.simpleString()}" for f in read_once.returns)
    for rows in (once.read_once(spark, str(once_tree)), once.by_readers(spark, str(once_tree))):
        assert rows.columns == listed
        assert [kind for _, kind in rows.dtypes] == [field.dataType.simpleString() for field in read_once.returns]
    more = Tables(Dataset((*once.COLUMNS, Column("town", "STRING")), **rest_of(once.ONCE)))
    for columns in (more.image, more.planned, more.row, more.searched):
        assert "town" in names(columns)
    assert "problem" not in names(more.row)


def rest_of(dataset: Dataset) -> dict:
    return {name: getattr(dataset, name) for name in ("series", "order", "below", "read")}


def test_the_jar_knows_onces_words_from_python():
    from blip_udfs.spark.catalyst import compiler, spark_home

    spark = spark_home.here()
    known_to_scala = json.loads(compiler.manifest(spark))["once"]
    assert known_to_scala == {"splits": list(once.SPLITS), "suffixes": list(once.SUFFIXES)}
    sources = "".join(path.read_text() for path in compiler.sources(spark)) + once.TEMPLATE.read_text()
    for word in (*once.SPLITS[3:], "jpeg", "webp"):
        assert word not in sources.lower()
