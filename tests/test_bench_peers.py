"""bench peers: what it makes of what each way says, that ways are compared on the same, where its table goes."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from blip_udfs.cli import main
from blip_udfs.measure import bench, bench_peers, bench_scan, peers_embed, peers_search, report


def test_without_the_peers_it_says_what_to_install_and_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_peers, "PEERS", ("daft_that_is_not_here",))
    done = CliRunner().invoke(main, ["bench", "peers", "--work", str(tmp_path / "work")])
    assert done.exit_code == 1 and not (tmp_path / "work").exists()
    said = "Error: bench peers: daft_that_is_not_here is not installed here: pip install 'blip-udfs[peers]'"
    assert said in done.output


def test_versions_are_those_that_are_installed(monkeypatch):
    monkeypatch.setattr(bench_peers, "PEERS", ("numpy", "pyarrow"))
    assert bench_peers.versions() == {"peers": f"numpy {np.__version__}, pyarrow {pa.__version__}"}


def test_rates_and_seconds_are_compared_round_by_round():
    seconds = {"ours": [2.0, 4.0, 3.0], "theirs": [6.0, 6.0, 6.0]}
    ours, theirs = bench_peers.compared("t", "images/s", 12, seconds)
    assert (ours.value, ours.ratio, ours.spread, ours.rounds) == (4.0, 1.0, 0.67, 3)
    assert (theirs.value, theirs.ratio, theirs.unit) == (2.0, 2.0, "images/s")
    assert [row.value for row in bench_peers.compared("t", "s", None, seconds)] == [3.0, 6.0]


def test_recall_is_the_share_of_the_true_nearest():
    assert bench_peers.recall([[1, 2, 3, 9], [5, 6, 7, 8]], [[1, 2, 3, 4], [8, 7, 6, 5]]) == 0.875


def unit(*values: float) -> np.ndarray:
    return np.array(values, np.float32) / np.linalg.norm(values)


def test_ways_must_embed_the_same_images_alike():
    first = {"a.jpg": unit(1, 0), "b.jpg": unit(0, 1)}
    bench_peers.check("way", {"a.jpg": unit(1, 0.01), "b.jpg": unit(0, 1)}, first)
    with pytest.raises(ValueError, match="way: expected embeddings of 2 images, got 1"):
        bench_peers.check("way", {"a.jpg": unit(1, 0)}, first)
    with pytest.raises(
        ValueError, match="way: expected embeddings of a cosine of 0.98 or more to the first way's, got 0.707"
    ):
        bench_peers.check("way", first | {"b.jpg": unit(1, 1)}, first)


def test_embeddings_are_found_by_the_files_names_however_a_way_writes_paths(tmp_path):
    paths = ["/data/000/cam01/1.jpg", "file:///data/000/cam03/1.jpg"]
    for part, path in enumerate(paths):
        table = pa.table({"path": [path], "embedding": pa.array([[1.0, part]], pa.list_(pa.float32()))})
        (tmp_path / str(part)).mkdir()
        parquet.write_table(table, tmp_path / str(part) / "x.parquet")
    found = peers_embed.embedded(str(tmp_path))
    assert {name: vector.tolist() for name, vector in found.items()} == {
        "000/cam01/1.jpg": [1.0, 0.0],
        "000/cam03/1.jpg": [1.0, 1.0],
    }


def test_transformers_and_this_engine_embed_alike(tiny_model, tmp_path):
    """What the ways run inside their frameworks, on the same files."""
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20 + 9 * n, 50, 3), dtype=np.uint8) for n in range(3)]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    ours = peers_embed.OurBlip(str(tiny_model))([str(tmp_path / f"{number}.png") for number in range(3)])
    theirs = peers_embed.TransformersBlip(str(tiny_model))(images)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def run(module, monkeypatch, capsys, **asked) -> dict:
    monkeypatch.setattr(module, "on_two_cores", lambda: None)
    module.main(asked)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_way_warms_up_with_a_few_images_before_it_is_timed(monkeypatch, capsys):
    jobs = []
    monkeypatch.setitem(peers_embed.WAYS, "way", lambda model, work: lambda files, out: jobs.append((len(files), out)))
    said = run(peers_embed, monkeypatch, capsys, way="way", files=["a"] * 20, out="o", model="m", work="w")
    assert jobs == [(8, "o_few"), (20, "o")]
    assert 0 <= said["job"] <= said["whole"]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return peers_search.vectors(tmp_path_factory.mktemp("peers") / "vectors", 3_000)


def test_vectors_are_the_same_each_time_and_have_neighbours(few, tmp_path):
    ids, values = peers_search.read(str(few))
    again = peers_search.read(str(peers_search.vectors(tmp_path / "again", 3_000)))
    assert (ids == np.arange(3_000)).all() and (values == again[1]).all()
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    nearest = np.sort(values @ values[0])[-2]
    assert nearest > 0.5 > np.abs(np.random.default_rng(0).standard_normal((3_000, 256)) / 16 @ values[0]).max()


@pytest.mark.parametrize("of_scene", [False, True])
def test_the_truth_is_a_plain_sort(few, of_scene):
    ids, values = peers_search.read(str(few))
    queries = peers_search.queries(3)
    for query, found in zip(queries, peers_search.truth(str(few), queries, of_scene), strict=True):
        ranked = sorted(ids.tolist(), key=lambda number: -float(values[number] @ query))
        kept = [number for number in ranked if not of_scene or number % 100 == 7]
        assert found == kept[:10]


def test_a_search_is_asked_cold_then_warm_without_and_with_where(few, monkeypatch, capsys):
    asked, forgotten = [], []
    monkeypatch.setattr(peers_search, "forget", lambda *folders: forgotten.append([folder.name for folder in folders]))
    monkeypatch.setitem(
        peers_search.WAYS, "way", lambda folder, work: lambda query, of_scene: asked.append(of_scene) or [len(asked)]
    )
    said = run(peers_search, monkeypatch, capsys, way="way", folder=str(few), work="tables", queries=3)
    assert asked == [False] * 3 + [True] * 3
    assert forgotten == [["vectors", "tables"]] * 2
    assert said["all"]["ids"] == [[1], [2], [3]] and said["1 %"]["ids"] == [[4], [5], [6]]
    assert {"cold", "warm"} < set(said["all"]) and said["start"] >= 0


def test_forgotten_files_are_still_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"c" * 10_000)
    bench_scan.forget(tmp_path)
    assert (tmp_path / "a" / "b").read_bytes() == b"c" * 10_000


def test_the_tables_rows_are_of_all_ways_with_their_recall(few, monkeypatch, tmp_path):
    """Each way runs as often as there are rounds, in turn, and one that misses neighbours has its recall."""
    true = {kept: peers_search.truth(str(few), peers_search.queries(21), kept == "1 %") for kept in ("all", "1 %")}
    turns = []

    def ask(module, asked):
        turns.append(asked["way"])
        if asked["way"] == "prepare":
            return {"plain": 2.0, "index": 3.0}
        lost = 5 if "IVF" in asked["way"] else 0
        return {"start": 1.0} | {
            kept: {"cold": 2.0, "warm": 0.5 + lost, "ids": [row[lost:] for row in rows]} for kept, rows in true.items()
        }

    monkeypatch.setattr(bench_peers, "ask", ask)
    monkeypatch.setattr(peers_search, "vectors", lambda folder, rows: few)
    rows = bench_peers.search(tmp_path, 2, 3_000)
    assert turns == ["prepare", *peers_search.WAYS, *peers_search.WAYS]
    recall = {row.way: row.value for row in rows if row.task == "top 10 of 3,000 x 256, WHERE keeps 1 %, recall@10"}
    assert recall == {way: 0.5 if "IVF" in way else 1.0 for way in peers_search.WAYS}
    warm = {row.way: (row.value, row.ratio) for row in rows if row.task == "top 10 of 3,000 x 256, warm"}
    assert warm["LanceDB, IVF_PQ"] == (5.5, 11.0) and warm["LanceDB, no index"] == (0.5, 1.0)
    assert [(row.way, row.value) for row in rows[-2:]] == [("LanceDB, plain", 2.0), ("LanceDB, index", 3.0)]


def test_a_way_that_fails_says_why():
    with pytest.raises(RuntimeError, match="(?s)no such way: .*KeyError: 'no such way'"):
        bench_peers.ask(peers_embed.__name__, {"way": "no such way", "files": [], "out": "", "model": "", "work": ""})


def test_a_share_is_of_images_too(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(bench_peers, "drawn", lambda *asked: drawn.append(asked[1:]) or tmp_path)
    for share in (1, 0.2, 0.001):
        bench_peers.files(tmp_path, *bench_peers.LARGE, share)
    assert drawn == [(25, 6, (1920, 1020)), (5, 6, (1920, 1020)), (2, 6, (1920, 1020))]


def test_the_table_goes_into_its_own_place_of_a_page(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    places = [report.BEGIN, "speed\n", report.END, "\n## Peers\n", report.BEGIN_PEERS, "old\n", report.END, "\nafter\n"]
    page.write_text("".join(places))
    row = bench.Result("embed", "Daft", 1.5, "images/s", 0.4, 1.3, 3)
    monkeypatch.setattr(report, "NEEDED", {})
    monkeypatch.setattr(report, "versions", lambda: {"peers": "daft 9"})
    monkeypatch.setattr(report, "peers", lambda folder, rounds, share: [row] if share == 0.5 else [])
    report.measured(["peers"], 3, tmp_path / "work", False, page, share=0.5)
    text = page.read_text()
    assert text.startswith("".join(places[:5])) and text.endswith("<!-- end -->\nafter\n") and "old" not in text
    assert "; daft 9" in text and "| embed | Daft | 1.5 images/s | 1.3 | 40% |" in text


@pytest.mark.slow
def test_by_sql_each_way_of_ours_finds_what_is_true(few, tmp_path):
    """In processes of their own, as the benchmark runs them."""
    asked = {"way": "ORDER BY blip_similarity, SQL", "folder": str(few), "work": str(tmp_path), "queries": 3}
    said = bench_peers.ask(peers_search.__name__, asked)
    for kept in ("all", "1 %"):
        assert said[kept]["ids"] == peers_search.truth(str(few), peers_search.queries(3), kept == "1 %")


def test_two_cores_are_two(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5, 3, 9, 1}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: asked.append(cores), raising=False)
    peers_embed.on_two_cores()
    assert asked == [[1, 3]]


@pytest.mark.slow
def test_a_scan_is_measured_with_one_thing_changed_at_a_time(tmp_path):
    rows = bench_scan.scan(tmp_path, 1, sizes=(2_000, 4_000))
    assert len(rows) == 2 * (4 + len(bench_scan.SETTINGS))
    assert rows[0].way == "2,000 rows, as it is" and rows[0].ratio == 1.0
    groups = [
        parquet.ParquetFile(next(folder.glob("*.parquet"))).num_row_groups
        for folder in sorted(tmp_path.glob("vectors_4000*"))
    ]
    assert groups == [1, 1]  # 4,000 rows are fewer than a group


def test_row_groups_are_as_small_as_asked(tmp_path):
    from blip_udfs.measure.bench_alternatives import vectors

    (file,) = vectors(tmp_path, 1_000, 8, row_group=300).glob("*.parquet")
    assert parquet.ParquetFile(file).num_row_groups == 4
