"""The recipes of sql/recipes/ on a drawn tree, right by what was drawn; and the same by arguments of `search`."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from blip_udfs import functions as BF
from blip_udfs import intervals, read_once, search
from blip_udfs.draw.captions import Condition, Facts, Thing
from blip_udfs.spark import scripts
from tests.plans import evaluations

ROOT = Path(__file__).resolve().parent.parent
RECIPES = {path.stem for path in (ROOT / "sql" / "recipes").glob("*.sql")}
CAR, TRUCK = Condition("thing", Thing("car")), Condition("thing", Thing("truck"))
BUS = Condition("thing", Thing("bus"))
WALKER, CYCLIST = Condition("thing", Thing("pedestrian")), Condition("thing", Thing("cyclist"))
NIGHT, RAIN = Condition("period", "night"), Condition("weather", "rainy")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    from blip_udfs.draw.tree import draw_tree

    root = tmp_path_factory.mktemp("recipes") / "once"
    draw_tree(root, sequences=24, frames=5, cameras=["cam01", "cam03"], size=(480, 255), seed=11)
    return root


@pytest.fixture(scope="module")
def truth(tree) -> dict[tuple[str, str, str], Facts]:
    """(sequence_id, frame_id, camera) -> what was drawn."""
    regions = dict(line.split("\t") for line in (tree / "ImageSets/region_type.txt").read_text().splitlines())
    records = [each for path in tree.glob("data/*/*.json") for each in json.loads(path.read_text())["frames"]]
    return {
        (each["sequence_id"], each["frame_id"], camera): Facts.of(
            scene, each["meta_info"]["weather"], each["meta_info"]["period"], regions[each["sequence_id"]]
        )
        for each in records
        for camera, scene in each["scene"].items()
    }


@pytest.fixture(scope="module")
def table(spark, tree):
    """once_embeddings of the bundled model; `image` holds patch features, so that each image is encoded once."""
    spark.catalog.dropTempView("once_embeddings")  # it would hide the table
    frames = read_once(spark, str(tree)).withColumn("image", BF.blip_image_features("image"))
    frames.write.saveAsTable("once_features")
    embedded = spark.table("once_features").withColumn("embedding", BF.blip_image_embed("image"))
    embedded.write.saveAsTable("once_embeddings")
    yield spark.table("once_embeddings")
    spark.catalog.clearCache()
    for name in ("once_features", "once_embeddings"):
        spark.sql(f"DROP TABLE {name}")


def recipe(spark, name: str, **variables: str) -> list[list]:
    """The rows of each statement of a recipe."""
    return [result.collect() for _, result in scripts.run(spark, f"recipes/{name}.sql", **variables)]


def keys(rows) -> list[tuple[str, str, str]]:
    return [(row.sequence_id, row.frame_id, row.camera) for row in rows]


def precision(truth, rows, *conditions: Condition, absent: tuple[Condition, ...] = (), any_of: bool = False) -> float:
    """The share of rows that are right, of the best ten, or of as many as there are to find."""
    held = any if any_of else all

    def right(facts: Facts) -> bool:
        return held(each.holds(facts) for each in conditions) and not any(each.holds(facts) for each in absent)

    number = min(10, sum(map(right, truth.values())), len(rows))
    assert number >= 3, "too few to tell"
    return sum(right(truth[key]) for key in keys(rows)[:number]) / number


def ranked(rows) -> bool:
    scores = [row.score for row in rows]
    return scores == sorted(scores, reverse=True)


def test_one_per_sequence(spark, table, truth):
    (rows,) = recipe(spark, "one_per_sequence")
    sequences = [row.sequence_id for row in rows]
    assert len(set(sequences)) == len(rows) == 12 and ranked(rows)
    best = {key[0] for key, facts in truth.items() if TRUCK.holds(facts) and NIGHT.holds(facts)}
    found = sequences[: len(best)]
    assert len(best & set(found)) / len(found) >= 0.75
    assert keys(search(table, "a truck at night", 12, one_per="sequence_id").collect()) == keys(rows)


def test_best_of_each(spark, table, truth):
    _, frames, sequences, _ = recipe(spark, "best_of_each")
    assert ranked(frames) and ranked(sequences)
    assert Counter(row.sequence_id for row in frames) == {sequence: 2 for sequence, _, _ in truth}
    best = {row.sequence_id: (row.score, row.frame_id) for row in reversed(frames)}
    assert {row.sequence_id: (row.score, row.frame_id) for row in sequences} == best
    shown = {key[0] for key, facts in truth.items() if TRUCK.holds(facts) and NIGHT.holds(facts)}
    right = [TRUCK.holds(truth[key]) and NIGHT.holds(truth[key]) for key in keys(frames) if key[0] in shown]
    assert sum(right) / len(right) >= 0.75


OF_DRIVES = {"a truck": (TRUCK,), "a cyclist": (CYCLIST,), "a pedestrian": (WALKER,)}


@pytest.mark.parametrize("sentence", OF_DRIVES)
def test_the_best_frame_of_a_drive_shows_what_some_frame_does(spark, table, truth, sentence):
    frame = f"max_by(struct(sequence_id, frame_id, camera), blip_itm(image, '{sentence}'))"
    spark.conf.set("spark.blip.search.candidates", 4)
    rows, scored = evaluations(spark.sql(f"SELECT {frame} AS best FROM once_embeddings GROUP BY sequence_id"))
    spark.conf.unset("spark.blip.search.candidates")
    assert (scored, len(rows)) == (24 * 4, 24)
    right = {key for key, facts in truth.items() if all(each.holds(facts) for each in OF_DRIVES[sentence])}
    drives = {sequence for sequence, _, _ in right}
    found = [tuple(row.best) in right for row in rows if row.best.sequence_id in drives]
    assert len(found) >= 3 and sum(found) / len(found) >= 0.8


def test_one_per_seconds(spark, table, truth):
    (rows,) = recipe(spark, "one_per_seconds")
    moments = [(row.sequence_id, int(row.frame_id) // 2000) for row in rows]
    assert len(set(moments)) == len(rows) == 12 and ranked(rows)
    assert max(Counter(row.sequence_id for row in rows).values()) == 2  # 2.5 seconds were drawn
    assert all(row.since.timestamp() * 1000 == int(row.frame_id) // 2000 * 2000 for row in rows)
    same = search(table, "a truck at night", 12, seconds=2).collect()
    assert keys(same) == keys(rows)


def test_more_like_this(spark, table, truth):
    (rows,) = recipe(spark, "more_like_this")
    this = truth["000000", "1616000000000", "cam01"]
    assert len(rows) == 12 and ranked(rows) and "000000" not in {row.sequence_id for row in rows}
    alike = [sum((f.road == this.road, f.weather == this.weather, f.period == this.period)) for f in truth.values()]
    found = [truth[key] for key in keys(rows)]
    shared = [sum((f.road == this.road, f.weather == this.weather, f.period == this.period)) for f in found]
    assert sum(shared) / len(shared) >= sum(alike) / len(alike) + 0.5


def test_all_of(spark, table, truth):
    (rows,) = recipe(spark, "all_of")
    assert ranked(rows) and precision(truth, rows, CAR, RAIN) >= 0.8
    assert keys(search(table, ["a car", "in the rain"], 12).collect()) == keys(rows)


def test_any_of(spark, table, truth):
    (rows,) = recipe(spark, "any_of")
    assert ranked(rows) and precision(truth, rows, WALKER, CYCLIST, any_of=True) >= 0.8
    assert keys(search(table, ["a pedestrian", "a cyclist"], 12, any_of=True).collect()) == keys(rows)


def test_but_not(spark, table, truth):
    (rows,) = recipe(spark, "but_not")
    assert len(rows) == 12 and ranked(rows)
    assert precision(truth, rows, CAR, absent=(NIGHT,)) >= 0.8
    assert keys(search(table, "a car", 12, but_not="at night").collect()) == keys(rows)


def test_tags_and_their_confusion_tables(spark, table, truth):
    *_, weathers, periods, roads = recipe(spark, "tags")
    seen = [facts for facts in truth.values() if facts.sky_seen]
    for confusion, name in ((weathers, "weather"), (periods, "period")):
        assert sum(sum(row[1:]) for row in confusion) == len(seen)
        assert sum(row[row[name]] for row in confusion) / len(seen) >= 0.95
    assert sum(row.images for row in roads) == len(truth)
    tags = spark.table("once_tags").collect()
    assert sum(truth[key].road == row.road_tag for key, row in zip(keys(tags), tags, strict=True)) / len(tags) >= 0.9


def test_near_duplicates(spark, table, truth):
    """Every two drives are one sequence here: what looks alike must not reach from one to the other."""
    spark.sql("""
        CREATE TEMPORARY VIEW once_embeddings AS SELECT * EXCEPT (sequence_id),
        lpad(CAST(CAST(sequence_id AS INT) DIV 2 AS STRING), 6, '0') AS sequence_id FROM once_features
        JOIN (SELECT sequence_id, frame_id, camera, embedding FROM spark_catalog.default.once_embeddings)
        USING (sequence_id, frame_id, camera)
    """)
    (groups,) = recipe(spark, "near_duplicates")
    spark.catalog.dropTempView("once_embeddings")
    assert sum(row.frames for row in groups) == len(truth)
    drives = [{(int(frame) - 1_616_000_000_000) // 3_600_000 for frame in row.members} for row in groups]
    assert sum(len(drive) == 1 for drive in drives) / len(groups) >= 0.95
    assert sum(row.frames == 5 for row in groups) / (len(truth) / 5) >= 0.8
    assert all((row.members[0], row.members[-1]) == (row.first_frame, row.last_frame) for row in groups)


def test_histogram(spark, table, truth):
    *_, bins, ((kept, dropped, unread),) = recipe(spark, "histogram")
    assert sum(row.images for row in bins) == kept + dropped == len(truth) and unread == 0
    assert kept == sum(row.images for row in bins if row.from_score >= 0.60)
    right = sum(TRUCK.holds(facts) and RAIN.holds(facts) for facts in truth.values())
    assert 0.5 * right <= kept <= 1.5 * right
    most = max(bins, key=lambda row: row.images)
    assert len(most.share) == -(-60 * most.images // len(truth))


def test_saved_searches(spark, table, truth):
    """The best ten of each, and they are those of `search`."""
    try:
        *_, rows = recipe(spark, "saved_searches")
        saved = {row.name: row.sentence for row in spark.table("saved_searches").collect()}
    finally:
        spark.sql("DROP TABLE saved_searches")
    for name, conditions in (("wet trucks", (TRUCK, RAIN)), ("cyclists", (CYCLIST,))):
        own = [row for row in rows if row["query"] == name]
        assert ranked(own) and [row["rank"] for row in own] == list(range(1, 11))
        assert precision(truth, own, *conditions) >= 0.8
    found = search(table, queries=saved, k=10, candidates=64).collect()
    assert [(row["query"], *key) for row, key in zip(found, keys(found), strict=True)] == [
        (row["query"], *key) for row, key in zip(rows, keys(rows), strict=True)
    ]


def test_find_all(spark, table, truth):
    """Few rows: all are scored. A table of those that match, and how many they are in each drive, by one camera."""
    try:
        *_, drives, _ = recipe(spark, "find_all")
        rows = spark.table("wet_trucks").collect()
    finally:
        spark.sql("DROP TABLE IF EXISTS wet_trucks")
    scored = table.withColumn("score", BF.blip_itm("image", "a truck in the rain")).where("score > 0.60")
    assert sorted(keys(rows)) == sorted(keys(scored.collect()))
    shown = [TRUCK.holds(truth[key]) and RAIN.holds(truth[key]) for key in keys(rows)]
    assert sum(shown) / len(shown) >= 0.8
    assert {row.sequence_id: row.frames for row in drives} == Counter(
        row.sequence_id for row in rows if row.camera == "cam01"
    )


def test_the_threshold_is_the_models(spark):
    card = (ROOT / "blip_udfs/demo/model/README.md").read_text()
    (recommended,) = re.findall(r"`blip_itm` > (0\.\d+)", card)
    for name in ("find_all", "histogram", "intervals", "occurs", "one_after_another"):
        assert f"SET threshold = {recommended};" in (ROOT / f"sql/recipes/{name}.sql").read_text()


def in_drives(truth, *conditions: Condition) -> dict[str, set[int]]:
    """Milliseconds of the frames in which some camera sees it, by drive."""
    seen: dict[str, set[int]] = {}
    for (sequence, frame, _), facts in truth.items():
        if all(each.holds(facts) for each in conditions):
            seen.setdefault(sequence, set()).add(int(frame))
    return seen


def test_intervals(spark, table, truth):
    *_, rows = recipe(spark, "intervals")
    shown = in_drives(truth, TRUCK)
    right = [
        any(row.since.timestamp() * 1000 <= each <= row.until.timestamp() * 1000 for each in shown[row.sequence_id])
        for row in rows
        if row.sequence_id in shown
    ]
    assert ranked(rows) and sum(right) / len(rows) >= 0.8 and len({row.sequence_id for row in rows}) >= 0.6 * len(shown)
    scored = table.withColumn("score", BF.blip_itm("image", "a truck"))
    same = intervals(scored, 0.60, gap=1).collect()
    assert [(row.sequence_id, row.since, row.until, row.rows, row.frame_id) for row in same] == [
        (row.sequence_id, row.since, row.until, row.frames, row.frame_id) for row in rows
    ]
    np.testing.assert_allclose([row.mean_score for row in same], [row.mean_score for row in rows], atol=1e-9)


def test_occurs(spark, table, truth):
    *_, rows, _ = recipe(spark, "occurs")
    assert ranked(rows) and [row.occurs for row in rows] == [row.score >= 0.60 for row in rows]
    assert sorted(row.sequence_id for row in rows) == sorted({sequence for sequence, _, _ in truth})
    shown = in_drives(truth, BUS)
    right = [row.occurs == (row.sequence_id in shown) for row in rows]
    assert 3 <= len(shown) <= len(rows) - 3 and sum(right) / len(right) >= 0.8


def test_one_after_another(spark, table, truth):
    *_, rows = recipe(spark, "one_after_another")
    walkers, cars = in_drives(truth, WALKER), in_drives(truth, CAR)
    assert rows and ranked(rows)
    assert all(0 <= (row.until - row.since).total_seconds() <= 3 for row in rows)
    right = [
        int(row.frame_id) in walkers.get(row.sequence_id, ())
        and int(row.next_frame_id) in cars.get(row.sequence_id, ())
        for row in rows
    ]
    assert sum(right) / len(rows) >= 0.8


def test_all_cameras(spark, table, truth):
    (rows,) = recipe(spark, "all_cameras")
    assert [row.camera for row in rows] == ["cam01", "cam03"] * 4 and ranked(rows)
    assert len({(row.sequence_id, row.frame_id, row.score) for row in rows}) == 4
    best = search(table, "a truck at night", 1).first()
    assert (rows[0].sequence_id, rows[0].frame_id) == (best.sequence_id, best.frame_id)


def test_export(spark, table, truth, tmp_path):
    recipe(spark, "export", out=str(tmp_path))
    found = search(table, "a truck in the rain", 50).collect()
    expected = {
        "sequences": {row.sequence_id for row in found},
        "frames": {f"{row.sequence_id}/{row.frame_id}" for row in found},
    }
    for name, lines in expected.items():
        (file,) = (tmp_path / name).glob("part-*")
        assert file.read_text().split() == sorted(lines)


def test_each_recipe_is_tested():
    assert set(re.findall(r'recipe\(spark, "(\w+)"', Path(__file__).read_text())) == RECIPES
