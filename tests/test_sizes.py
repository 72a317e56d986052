"""The notebooks' two searches by the bundled model, of trees of four sizes and shapes: the best three are right."""

import pytest

from blip_udfs.draw.tree import draw_tree
from tests.test_demo import kinds, scene

SIZES = [
    pytest.param(size, marks=pytest.mark.slow if size == (480, 270) else pytest.mark.endurance)
    for size in [(960, 510), (480, 270), (1920, 1080), (640, 480)]
]


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_the_best_three_of_both_sentences(spark, size, tmp_path):
    root = tmp_path / "once"
    draw_tree(root, sequences=40, frames=1, cameras=["cam01", "cam03"], size=size, seed=77)
    spark.conf.set("spark.blip.model", "demo")
    try:
        for road in ("intersection", "highway"):
            sentence = f"a car driving on {'an' if road[0] in 'aeiou' else 'a'} {road}"
            rows = spark.sql(
                f"SELECT sequence_id, frame_id, camera, blip_itm(image, '{sentence}') AS score "
                f"FROM read_once('{root}') ORDER BY score DESC LIMIT 3"
            ).collect()
            seen = [scene(root, *row[:3]) for row in rows]
            assert [each["road"] for each in seen] == [road] * 3
            assert all("car" in kinds(each) for each in seen)
    finally:
        spark.conf.unset("spark.blip.model")
