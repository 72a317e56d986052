"""2,000 drawn images of 250 drives, the bundled model: the best of each drive, and all that match, through SQL.

`pytest -m endurance -s tests/test_many_drives.py` prints how many rows ITM scored, and what a promise kept.
"""

import re

import numpy as np
import pytest

import blip_udfs
from blip_udfs.draw.captions import Condition, Sentence, Thing, is_true
from blip_udfs.draw.tree import draw_tree
from blip_udfs.measure.evaluate import scenes
from blip_udfs.measure.quality import facts_of
from tests.plans import counted, evaluations
from tests.protocol import nearest_of_each

pytestmark = pytest.mark.endurance

DRIVES, FRAMES, CAMERAS = 250, 4, ["cam01", "cam03"]
IMAGES = DRIVES * FRAMES * len(CAMERAS)
THRESHOLD, RECALL = 0.6, 0.9
SENTENCES = [
    Sentence("a bus", (Condition("thing", Thing("bus")),)),
    Sentence("a cyclist", (Condition("thing", Thing("cyclist")),)),
    Sentence("a car driving on an intersection", (Condition("road", "intersection"),)),
    Sentence("a rainy day", (Condition("weather", "rainy"), Condition("period", "day"))),
    Sentence("a red car", (Condition("thing", Thing("car", color="red")),)),
    Sentence("a bridge", (Condition("road", "bridge"),)),
    Sentence("a truck at night", (Condition("thing", Thing("truck")), Condition("period", "night"))),
]
TEXTS = [sentence.text for sentence in SENTENCES]


@pytest.fixture(scope="module")
def rows(spark, tmp_path_factory) -> list[dict]:
    """The table `many_drives`; its rows, each with what it shows and ITM of all TEXTS."""
    tree = tmp_path_factory.mktemp("many") / "once"
    draw_tree(tree, DRIVES, FRAMES, CAMERAS, (480, 270), seed=1616)
    blip_udfs.embed(spark, str(tree), "many_drives")
    texts = ", ".join(f"'{text}'" for text in TEXTS)
    scored = spark.sql(f"SELECT *, blip_itm_many(image, array({texts})) AS scores FROM many_drives")
    facts = {row["image"]: facts_of(row) for row in scenes(spark, str(tree))}
    yield [row.asDict() | {"facts": facts[row.image]} for row in scored.collect()]
    spark.sql("DROP TABLE many_drives")


@pytest.mark.parametrize("at", [0, 2, 6], ids=lambda at: TEXTS[at])
def test_the_best_of_each_drive(spark, rows, at):
    """Four rows of each are scored; where a drive has what is asked for, its best frame mostly shows it."""
    spark.conf.set("spark.blip.search.candidates", 4)
    try:
        df = spark.sql(
            "SELECT sequence_id, max_by(image, score) AS image, max(score) AS score FROM "
            f"(SELECT *, blip_itm(image, '{TEXTS[at]}') AS score FROM many_drives) GROUP BY sequence_id"
        )
        found, scored = evaluations(df)
    finally:
        spark.conf.unset("spark.blip.search.candidates")
    assert scored == DRIVES * 4
    ((text,),) = spark.sql(f"SELECT blip_text_embed('{TEXTS[at]}')").collect()
    near = nearest_of_each(rows, np.array(text, np.float32), 4, "sequence_id")
    best = {drive: max(each, key=lambda row: row["scores"][at]) for (drive,), each in near.items()}
    assert {row.sequence_id: row.score for row in found} == pytest.approx(
        {drive: row["scores"][at] for drive, row in best.items()}, abs=1e-6
    )
    shown = {row["image"] for row in rows if is_true(SENTENCES[at], row["facts"])}
    having = {row["sequence_id"] for row in rows if row["image"] in shown}
    right = sum(row.image in shown for row in found if row.sequence_id in having)
    print(f"{TEXTS[at]}: {scored} of {IMAGES} scored; the best frame shows it in {right} of {len(having)} drives")
    assert right >= 0.9 * len(having) > 0


@pytest.mark.parametrize("at", range(len(TEXTS)), ids=TEXTS)
def test_all_that_match(spark, rows, at):
    matches = {row["image"] for row in rows if row["scores"][at] > THRESHOLD}
    spark.conf.set("spark.blip.filter.recall", str(RECALL))
    try:
        with counted(spark) as calls:
            found = spark.sql(f"SELECT image FROM many_drives WHERE blip_itm(image, '{TEXTS[at]}') > {THRESHOLD}D")
            images = [row.image for row in found.collect()]
    finally:
        spark.conf.unset("spark.blip.filter.recall")
    said = blip_udfs.last_filter(spark)
    (to_score,) = re.findall(r"(\d+) to be scored in all", said)
    assert sum(calls) == int(to_score) <= IMAGES
    assert len(images) == len(set(images)) and set(images) <= matches
    print(f"{TEXTS[at]}: {len(images)} of {len(matches)}; {said}")
    assert len(images) >= RECALL * len(matches)
