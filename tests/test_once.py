"""ONCE trees as tables: a drawn one, damaged ones, and the dataset's real split files."""

import json
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path

import pytest

from blip_udfs import read_once
from blip_udfs.files.once import SPLITS, problems
from tests.plans import nodes, tasks_of_stages

IMAGE_SETS = Path(__file__).with_name("once") / "ImageSets"


def record(frame_id: str, **more) -> dict:
    return {"sequence_id": "000076", "frame_id": frame_id, "timestamp": int(frame_id), **more}


def sequence(root: Path, name: str, cameras: dict[str, list[str]], content: dict | str | None) -> None:
    """Image files (their bytes say where they lie) and the JSON of one sequence."""
    for camera, frames in cameras.items():
        folder = root / "data" / name / camera
        folder.mkdir(parents=True)
        for frame in frames:
            (folder / f"{frame}.jpg").write_bytes(f"{name}/{camera}/{frame}".encode())
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "data" / name / f"{name}.json").write_text(text)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """Whole, without JSON, with broken JSON, without a record, with an odd file, without a camera."""
    root = tmp_path_factory.mktemp("once tree [1] {a}") / "ONCE"
    annos = {
        "names": ["Car", "Bus", "Car"],
        "boxes_3d": [[0] * 7] * 3,
        "boxes_2d": {"cam01": [[1, 2, 3, 4], [-1, -1, -1, -1], [5, 6, 7, 8]]},
    }
    whole = {
        "meta_info": {"weather": "sunny", "period": "noon"},
        "calib": {},
        "frames": [record("1616", annos=annos), record("1617", meta_info={"weather": "rainy", "period": "night"})],
    }
    both = {"cam01": ["1616", "1617"], "cam03": ["1616", "1617"]}
    sequence(root, "000076", both, whole)
    sequence(root, "000080", {"cam01": ["1616"], "cam03": ["1616"]}, None)
    sequence(root, "000092", {"cam01": ["1616"], "cam03": ["1616"]}, '{"meta_info": {"weather": "sunny"}, "frames": [')
    sequence(root, "000104", {"cam01": ["1616", "1999"]}, {"meta_info": {}, "frames": [record("1616")] * 2})
    (root / "data" / "000076" / "cam01" / "Thumbs.db").write_bytes(b"no image")
    (root / "data" / "readme.jpg").write_bytes(b"stands where no image does")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "train.txt").write_text("000076\r\n\n000080\n")
    (root / "ImageSets" / "raw_small.txt").write_text("000076\n000104\n")
    (root / "ImageSets" / "region_type.txt").write_text("000076\tDowntown\n000104 Highway\n\n")
    return root


@pytest.fixture(scope="module")
def rows(spark, damaged) -> dict[tuple, dict]:
    found = [row.asDict() for row in read_once(spark, str(damaged)).collect()]
    keyed = {(row["sequence_id"], row["camera"], row["frame_id"]): row for row in found}
    assert len(keyed) == len(found) == 10
    return keyed


def test_a_drawn_tree_says_what_its_json_says(spark, once_tree):
    found = read_once(spark, str(once_tree)).collect()
    assert len(found) == 6 * 4 * 2
    for row in found:
        sequence = json.loads((once_tree / "data" / row.sequence_id / f"{row.sequence_id}.json").read_text())
        frame = next(each for each in sequence["frames"] if each["frame_id"] == row.frame_id)
        boxes = frame["annos"]["boxes_2d"][row.camera]
        names = [name for name, box in zip(frame["annos"]["names"], boxes, strict=True) if box[0] >= 0]
        assert (row.weather, row.period) == (frame["meta_info"]["weather"], frame["meta_info"]["period"])
        assert row.timestamp.timestamp() == pytest.approx(frame["timestamp"] / 1000)
        assert row.classes == sorted(set(names))
        assert row.counts == {name: names.count(name) for name in names}
        assert Path(re.sub("^file:", "", row.image)).read_bytes()[:2] == b"\xff\xd8"
        assert row.problem is None
    regions = dict(line.split("\t") for line in (once_tree / "ImageSets/region_type.txt").read_text().splitlines())
    assert {row.sequence_id: row.region for row in found} == regions


def test_a_whole_sequence(rows):
    row = rows["000076", "cam01", "1616"]
    assert row["image"].endswith("/data/000076/cam01/1616.jpg")
    assert row["timestamp"].astimezone(timezone.utc) == datetime(1970, 1, 1, 0, 0, 1, 616000, timezone.utc)
    assert (row["weather"], row["period"], row["region"], row["split"]) == ("sunny", "noon", "Downtown", "train")
    assert (row["classes"], row["counts"], row["problem"]) == (["Car"], {"Car": 2}, None)
    unsaid = rows["000076", "cam03", "1616"]  # annotated, but not for that camera
    assert (unsaid["classes"], unsaid["counts"], unsaid["problem"]) == (None, None, None)
    later = rows["000076", "cam01", "1617"]
    assert (later["weather"], later["period"], later["classes"]) == ("rainy", "night", None)


def test_the_key_is_sequence_and_frame(rows):
    """The same frame_id in another sequence has that sequence's metadata."""
    assert rows["000080", "cam01", "1616"]["weather"] is None
    assert rows["000104", "cam01", "1616"]["region"] == "Highway"


def test_damage_keeps_its_rows_and_is_reported(rows):
    expected = {
        ("000080", "cam01", "1616"): "no file data/000080/000080.json",
        ("000092", "cam03", "1616"): "data/000092/000092.json is not valid JSON",
        ("000104", "cam01", "1999"): "no record for frame 1999 in data/000104/000104.json",
        ("000104", "cam01", "1616"): None,
    }
    assert {key: rows[key]["problem"] for key in expected} == expected
    assert all(rows[key]["weather"] is None for key in expected)
    assert rows["000080", "cam01", "1616"]["split"] == "train"


def test_problems_of_a_tree(spark, damaged):
    found = [tuple(row) for row in problems(spark, str(damaged)).collect()]
    assert found == [
        ("000080", "cam01", "no file data/000080/000080.json", 1),
        ("000080", "cam03", "no file data/000080/000080.json", 1),
        ("000092", "cam01", "data/000092/000092.json is not valid JSON", 1),
        ("000092", "cam03", "data/000092/000092.json is not valid JSON", 1),
        ("000104", "cam01", "no record for some frames in data/000104/000104.json", 1),
        ("000104", "cam03", "no folder data/000104/cam03", 0),
    ]


def test_image_bytes(spark, damaged):
    named = f"SELECT * FROM read_once('{damaged}', image_bytes => true)"
    for table in (read_once(spark, str(damaged), image_bytes=True), spark.sql(named)):
        assert dict(table.dtypes)["image"] == "binary"
        for row in table.collect():
            assert bytes(row.image).decode() == f"{row.sequence_id}/{row.camera}/{row.frame_id}"


def test_split(spark, damaged):
    through_sql = spark.sql(f"SELECT * FROM read_once('{damaged}', split => 'raw_small')")
    for table in (read_once(spark, str(damaged), split="raw_small"), through_sql):
        assert {row.sequence_id for row in table.collect()} == {"000076", "000104"}


def test_listing_reads_no_image_bytes(spark, damaged, capsys):
    read_once(spark, str(damaged)).explain("formatted")
    spark.sql(f"SELECT * FROM read_once('{damaged}')").explain("formatted")
    scans = re.findall(r"^\(\d+\) Scan binaryFile.*?ReadSchema: (\S+)", capsys.readouterr().out, re.DOTALL | re.M)
    without_bytes = "struct<path:string,modificationTime:timestamp,length:bigint>"
    assert scans.count(without_bytes) == 2
    others = {scan for scan in scans if scan != without_bytes}  # of JSON and lists
    assert others == {"struct<path:string,content:binary>"}


def test_a_filter_on_sequence_reaches_listing_and_reading(spark, damaged):
    df = spark.sql(f"SELECT frame_id, weather FROM read_once('{damaged}') WHERE sequence_id = '000076'")
    assert df.count() == 4
    rows = df.collect()
    assert {row.weather for row in rows} == {"sunny", "rainy"}
    scans = [node for node in nodes(df._jdf.queryExecution().executedPlan()) if node.nodeName().startswith("Scan")]
    images, records = ([files_of(node) for node in scans if listed in node.toString()] for listed in INDEXES)
    assert set(images) == {4} and set(records) == {1}  # of 10 and of 3


def test_many_sequences_are_listed_by_the_executors(spark, tmp_path):
    """Beyond spark.sql.sources.parallelPartitionDiscovery.threshold, 32 folders; in SQL 64 folders a job."""
    for number in range(70):
        sequence(tmp_path, f"{number:06d}", {"cam01": ["1616"], "cam03": ["1616"]}, None)
    for table in (read_once(spark, str(tmp_path)), spark.sql(f"SELECT * FROM read_once('{tmp_path}')")):
        with tasks_of_stages(spark) as tasks:
            rows = table.collect()
        assert {(row.sequence_id, row.camera) for row in rows} == {
            (f"{number:06d}", camera) for number in range(70) for camera in ("cam01", "cam03")
        }
    assert 64 in tasks and 70 not in tasks


INDEXES = ("OnceImages", "OnceRecords")


def files_of(scan) -> int:
    return scan.metrics().apply("numFiles").value()


def test_a_tree_without_json_and_splits(spark, tmp_path):
    sequence(tmp_path, "000001", {"cam01": ["1"]}, None)
    (row,) = read_once(spark, str(tmp_path)).collect()
    assert (row.sequence_id, row.split, row.region, row.problem) == (
        "000001",
        None,
        None,
        "no file data/000001/000001.json",
    )


def test_wrong_arguments_say_what_is_expected(spark, tmp_path, damaged):
    with pytest.raises(ValueError, match=f"no folder {tmp_path}/data: expected an ONCE tree, data/<sequence>"):
        read_once(spark, str(tmp_path))
    with pytest.raises(ValueError, match="split: expected one of train, val, test, .*, got 'training'"):
        read_once(spark, str(damaged), split="training")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("read_once('{root}', split => 'training')", "split: expected one of train, val, .*, got 'training'"),
        ("read_once('/nowhere')", "root: expected an ONCE tree, .*, got '/nowhere', which has no folder data"),
        ("read_once(NULL)", "root: expected the tree's folder, got NULL"),
        ("read_once('{root}', cameras => 1)", "cameras: expected an argument of root, split, image_bytes"),
        ("read_once()", r"WRONG_NUM_ARGS"),
    ],
)
def test_wrong_calls_in_sql(spark, damaged, call, message):
    with pytest.raises(Exception, match=message):
        spark.sql(f"SELECT * FROM {call.format(root=damaged)}")


def test_the_real_split_files(spark, tmp_path):
    """The dataset's own ImageSets over a tree with an image of each listed sequence."""
    shutil.copytree(IMAGE_SETS, tmp_path / "ImageSets")
    listed = {split: (IMAGE_SETS / f"{split}.txt").read_text().split() for split in SPLITS}
    for name in {name for names in listed.values() for name in names}:
        sequence(tmp_path, name, {"cam01": ["1616"]}, None)
    found = {row.sequence_id: row for row in read_once(spark, str(tmp_path)).collect()}
    assert set(found) == {name for names in listed.values() for name in names}
    for name, row in found.items():
        assert row.split == next(split for split in SPLITS if name in listed[split])
    regions = dict(line.split() for line in (IMAGE_SETS / "region_type.txt").read_text().splitlines() if line.strip())
    assert {name: row.region for name, row in found.items()} == {name: regions.get(name) for name in found}
