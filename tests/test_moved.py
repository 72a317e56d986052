"""Pictures by other cameras: what is said of them is so, and what is recognised in them is counted as it should be."""

import io
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from blip_udfs.draw.captions import Condition, Facts, Thing
from blip_udfs.draw.moved import CHANGES, MIRRORED, Move, drawn, taken
from blip_udfs.draw.picture import draw, side_of
from blip_udfs.draw.world import drive
from blip_udfs.measure import moved
from blip_udfs.measure.moved import Question, recognised

PLAIN = Move((480, 256), quality=95)
TURNED = {
    "cut": replace(PLAIN, cut=(0.1, 0.02, 0.05, 0.08)),
    "rolled": replace(PLAIN, roll=3.0),
    "rolled the other way": replace(PLAIN, roll=-3.0),
    "bordered": replace(PLAIN, border=0.2),
    "mirrored": replace(PLAIN, mirror=True),
    "several": replace(PLAIN, roll=2.0, cut=(0.05, 0.0, 0.1, 0.05), mirror=True),
}


def scenes(count=12):
    return [drive(8, number) for number in range(count)]


def middle(view, box):
    """The mean colour of the middle of a box."""
    x, y, wide, high = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    part = view.image.crop((round(x - wide / 8), round(y - high / 8), round(x + wide / 8) + 1, round(y + high / 8) + 1))
    return np.asarray(part, float).mean((0, 1))


@pytest.mark.parametrize("name", TURNED)
def test_boxes_and_sides_go_where_the_things_go(name):
    compared = 0
    for one in scenes():
        before, after = (taken(one, 3, "cam01", move) for move in (PLAIN, TURNED[name]))
        width, height = after.image.size
        known = {each.index: each for each in before.things}
        for each in after.things:
            x1, y1, x2, y2 = each.box
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            assert (each.thing, each.distance) == (known[each.index].thing, known[each.index].distance)
            if min(x1, y1, width - x2, height - y2) > 1 and x2 - x1 > 30:  # whole, so that its middle is known
                assert each.side == side_of((x1 + x2) / 2 / width)
                assert abs(middle(after, each.box) - middle(before, known[each.index].box)).max() < 30
                compared += 1
    assert compared >= 5


def test_a_mirrored_picture_swaps_left_and_right():
    for one in scenes(4):
        before, after = taken(one, 0, "cam01", PLAIN), taken(one, 0, "cam01", replace(PLAIN, mirror=True))
        assert [MIRRORED[each.side] for each in before.things] == [each.side for each in after.things]


def test_what_is_cut_off_is_not_there():
    gone = 0
    for one in scenes():
        before, after = taken(one, 0, "cam01", PLAIN), taken(one, 0, "cam01", replace(PLAIN, cut=(0.5, 0, 0, 0)))
        left = {each.index for each in before.things if each.box[2] < 240}
        assert not left & {each.index for each in after.things}
        gone += len(left)
    assert gone


def test_without_a_move_it_is_the_picture_as_drawn():
    one, encoded = drive(8, 1), io.BytesIO()
    view = draw(one, 2, "cam03", (320, 170))
    view.image.save(encoded, "JPEG", quality=90)
    same = taken(one, 2, "cam03", Move((320, 170)))
    assert np.array_equal(np.asarray(same.image), np.asarray(Image.open(encoded))) and same.things == view.things


def horizon(view):
    """The row below which a picture of a clear noon on a highway is no longer blue, as a share of its height."""
    levels = np.asarray(view.image, float)[:, :8].mean(1)  # at its left edge
    return int(np.nonzero(levels[:, 2] < levels[:, 0])[0][0]) / view.image.height


def test_pitch_and_light():
    one = next(d for d in (drive(8, n) for n in range(200)) if (d.road, d.weather, d.period) == TEST_SKY)
    level, down = (taken(one, 0, "cam01", replace(PLAIN, pitch=pitch)) for pitch in (0.0, 3.0))
    expected = np.tan(np.radians(3)) * 0.9 * 480 / 256
    assert horizon(level) - horizon(down) == pytest.approx(expected, abs=0.03)
    dark = taken(one, 0, "cam01", replace(PLAIN, light=0.6))
    assert np.asarray(dark.image).mean() == pytest.approx(0.6 * np.asarray(level.image).mean(), rel=0.02)


TEST_SKY = ("highway", "sunny", "noon")


def test_moves_are_drawn_within_bounds_and_again_from_the_seed():
    moves = [drawn(random.Random(number), {320: 1, 480: 2}) for number in range(300)]
    assert moves == [drawn(random.Random(number), {320: 1, 480: 2}) for number in range(300)]
    for move in moves:
        kept = (1 - move.cut[0] - move.cut[2]) * (1 - move.cut[1] - move.cut[3])
        assert 1.29 <= move.size[0] / move.size[1] <= 2.27 and 0.5 < kept <= 1 and 40 <= move.quality <= 95
        assert max(abs(move.pitch), abs(move.roll)) <= 4 and 0.5 <= move.light <= 1.35
    assert 60 < sum(any(move.cut) for move in moves) < 240 and sum(move.mirror for move in moves) > 100
    view = taken(drive(8, 0), 1, "cam01", moves[0])
    assert view.image.tobytes() == taken(drive(8, 0), 1, "cam01", moves[0]).image.tobytes()


def test_recognised_is_surer_than_of_every_false_rival():
    road = [Question("road", "road", each, Condition("road", each)) for each in ("tunnel", "bridge", "highway")]
    colour = [
        Question("colour", "colour of car", each, Condition("thing", Thing("car", each))) for each in ("red", "blue")
    ]
    red, both = (Thing("car", "red"),), (Thing("car", "red"), Thing("car", "blue"))
    facts = [Facts(each, "", "rainy", "noon", things) for each, things in (("tunnel", red), ("bridge", both))]
    scores = np.array([[0.3, 0.2, 0.1, 0.5, 0.6], [0.3, 0.2, 0.1, 0.9, 0.8]])
    # of the second image's cars both colours are there: nothing is asked
    assert recognised(scores, facts, [*road, *colour]) == {"road": (1, 2), "colour": (0, 1)}


def test_the_bundled_model_by_sql(spark):
    few = {"JPEG 40": CHANGES["JPEG 40"], "4:3": Move((480, 360))}
    rows = moved.recognition(spark, 6, few)
    assert [row.about for row in rows] == ["road", "weather", "period", "class", "colour", "side"]
    assert all(list(row.shares) == ["as drawn", "JPEG 40", "4:3"] for row in rows)
    assert rows[0].trials == 6 and rows[0].shares["as drawn"] >= 0.8 and all(row.trials > 0 for row in rows)
