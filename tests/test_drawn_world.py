"""The drawn world: what a tree says of its pictures is so, and sentences are judged as a person would."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blip_udfs.draw import wordings
from blip_udfs.draw.captions import Condition, Facts, Sentence, Thing, false_sentence, is_true, true_sentence
from blip_udfs.draw.picture import draw
from blip_udfs.draw.tree import draw_tree, scene
from blip_udfs.draw.world import CAMERAS, COLORS, DISTANCES, PERIODS, ROADS, SIDES, WEATHERS, drive

RED_CAR = Thing("car", "red", "left", "far")
BLUE_BUS = Thing("bus", "blue", "right", "near")


def facts(*things: Thing, road="highway", region="Highway", weather="sunny", period="noon") -> Facts:
    objects = [{"class": t.kind, "color": t.color, "side": t.side, "distance": t.distance} for t in things]
    return Facts.of({"road": road, "objects": objects}, weather, period, region)


def drawn_facts(number: int) -> Facts:
    one = drive(5, number)
    return Facts.of(scene(one, draw(one, 0, "cam01", (120, 64))), one.weather, one.period, one.region)


CALIBRATION = {"cam_to_velo": (4, 4), "cam_intrinsic": (3, 3), "distortion": (5,)}


def records(root: Path):
    for path in sorted((root / "data").glob("*/*.json")):
        yield path.parent, json.loads(path.read_text())


def test_the_layout_is_the_datasets(once_tree):
    """Read the way the dataset's devkit does: ImageSets, <seq>.json, frames, calib, annos, images by camera."""
    listed = [name for split in ("train", "val", "test", "raw_large") for name in split_of(once_tree, split)]
    sequences = dict(records(once_tree))
    assert sorted(path.name for path in sequences) == sorted(listed)
    for folder, sequence in sequences.items():
        frames = {frame["frame_id"]: frame for frame in sequence["frames"]}
        for frame_id, frame in frames.items():
            assert frame["sequence_id"] == folder.name and len(frame["pose"]) == 7
            assert frame["next_id"] in (*frames, None) and frame["prev_id"] in (*frames, None)
            annos = frame["annos"]
            assert np.array(annos["boxes_3d"]).reshape(-1, 7).shape[0] == len(annos["names"])
            for camera in ("cam01", "cam03"):
                assert len(annos["boxes_2d"][camera]) == len(annos["names"])
                assert Image.open(folder / camera / f"{frame_id}.jpg").size == (320, 170)
        for camera in (f"cam0{number}" for number in (1, 3, 5, 6, 7, 8, 9)):  # all, whichever are drawn
            calib = {name: np.array(sequence["calib"][camera][name]) for name in CALIBRATION}
            assert {name: each.shape for name, each in calib.items()} == CALIBRATION
            turned = calib["cam_to_velo"][:3, :3]
            np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-9)


def split_of(root: Path, split: str) -> list[str]:
    return (root / "ImageSets" / f"{split}.txt").read_text().split()


def test_boxes_agree_with_calibration(once_tree):
    """A 3D box's centre, projected by the sequence's own calibration, lies in its 2D box."""
    checked = 0
    for _, sequence in records(once_tree):
        for frame in sequence["frames"]:
            for camera, boxes in frame["annos"]["boxes_2d"].items():
                for box_3d, (x1, y1, x2, y2) in zip(frame["annos"]["boxes_3d"], boxes, strict=True):
                    if x1 <= 0 or x2 >= 320 or y2 >= 170:  # not seen, or cut by the picture's edge
                        continue
                    calib = sequence["calib"][camera]
                    inverse = np.linalg.inv(np.array(calib["cam_to_velo"]))
                    u, v, depth = np.array(calib["cam_intrinsic"]) @ (inverse @ [*box_3d[:3], 1])[:3]
                    assert x1 - 1 <= u / depth <= x2 + 1 and y1 - 1 <= v / depth <= y2 + 1
                    checked += 1
    assert checked > 20


def test_the_scene_is_named_in_the_agreed_words(once_tree):
    for _, sequence in records(once_tree):
        assert sequence["meta_info"]["weather"] in WEATHERS and sequence["meta_info"]["period"] in PERIODS
        for frame in sequence["frames"]:
            for one in frame["scene"].values():
                assert one["road"] in ROADS and len(one["captions"]) == 3
                for thing in one["objects"]:
                    assert thing["class"] in ("car", "truck", "bus", "pedestrian", "cyclist")
                    assert thing["color"] in COLORS and thing["side"] in SIDES and thing["distance"] in DISTANCES


def test_the_same_seed_draws_the_same_bytes(once_tree, tmp_path):
    draw_tree(tmp_path, sequences=1, frames=2, cameras=["cam03"], size=(320, 170), seed=7)
    for path in (tmp_path / "data").rglob("*.jpg"):
        assert path.read_bytes() == (once_tree / path.relative_to(tmp_path)).read_bytes()
    with pytest.raises(ValueError, match="no camera cam02: expected some of cam01, cam03"):
        draw_tree(tmp_path, 1, 1, ["cam02"])


def test_neighbouring_frames_look_alike_and_things_move():
    one = drive(3, 2)
    first, second, other = (
        np.asarray(draw(*view, "cam01", (240, 128)).image, float) for view in ((one, 0), (one, 1), (drive(3, 9), 0))
    )
    assert 0 < abs(first - second).mean() < abs(first - other).mean() / 3
    moved = [np.hypot(a.x - b.x, a.y - b.y) for a, b in zip(one.things_at(0), one.things_at(5), strict=True)]
    assert moved and min(moved) > 0.05


@pytest.mark.parametrize("camera", CAMERAS)
def test_every_camera_draws_every_road(camera):
    roads = {drive(1, number).road: drive(1, number) for number in range(60)}
    assert set(roads) == set(ROADS)
    for one in roads.values():
        assert np.asarray(draw(one, 20, camera, (96, 51)).image).std() > 5


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Condition("thing", Thing("car", "red")), True),
        (Condition("thing", Thing("car", "blue")), False),
        (Condition("thing", Thing("vehicle", "blue", "right")), True),
        (Condition("thing", Thing("bus", None, "left")), False),
        (Condition("count", ("vehicle", 2)), True),
        (Condition("count", ("car", 2)), False),
        (Condition("relation", (Thing("car"), "behind", Thing("bus"))), True),
        (Condition("relation", (Thing("bus"), "behind", Thing("car"))), False),
        (Condition("relation", (Thing("car"), "left of", Thing("bus", "blue"))), True),
        (Condition("relation", (Thing("bus"), "left of", Thing("car"))), False),
        (Condition("weather", "sunny"), True),
        (Condition("weather", "fair"), True),
        (Condition("weather", "rainy"), False),
        (Condition("period", "day"), True),
        (Condition("road", "bridge"), False),
    ],
)
def test_a_condition(condition, expected):
    assert condition.holds(facts(RED_CAR, BLUE_BUS)) is expected


def test_a_pair_needs_two_things():
    pair = Sentence("a car and a red car", (Condition("thing", Thing("car")), Condition("thing", Thing("car", "red"))))
    assert not is_true(pair, facts(RED_CAR, BLUE_BUS))
    assert is_true(pair, facts(RED_CAR, Thing("car", "white", "right", "near")))


def test_a_clear_night_is_not_sunny_and_a_tunnel_has_no_sky():
    night = facts(period="night")
    assert not Condition("weather", "sunny").holds(night) and Condition("weather", "clear").holds(night)
    assert not Condition("weather", "sunny").holds(facts(road="tunnel"))


def test_true_sentences_are_true_and_false_ones_false():
    rng, changed = random.Random(0), 0
    for number in range(150):
        seen = drawn_facts(number)
        for held_out in (False, True):
            sentence = true_sentence(seen, rng, held_out)
            assert is_true(sentence, seen), sentence
            false = false_sentence(sentence, seen, rng)
            changed += false is not None
            assert false is None or not is_true(false, seen), false
    assert changed > 280


def test_sentences_that_bind_are_true_and_tell_where_things_are():
    rng, told = random.Random(0), 0
    for number in range(150):
        seen = drawn_facts(number)
        if seen.things:
            sentence = true_sentence(seen, rng, binding=1.0)
            assert is_true(sentence, seen), sentence
            first, *others = sentence.conditions
            assert first.about == "relation" or others or first.value.side, sentence
            told += first.about == "relation"
    assert told > 30


def test_held_out_wordings_never_occur_in_training():
    pairs = [
        each
        for name in dir(wordings)
        if name.isupper()
        for each in (getattr(wordings, name).values() if isinstance(getattr(wordings, name), dict) else [])
        if len(each) == 2 and isinstance(each[0], tuple)
    ]
    assert len(pairs) > 30
    for trained, held_out in pairs:
        assert held_out and not set(trained) & set(held_out)
        assert len(held_out) / (len(trained) + len(held_out)) >= 0.3
