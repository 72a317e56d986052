"""Eight JDBC sessions at once on one Thrift server, 25 mixed queries each: right answers, own settings, flat memory."""

import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from blip_udfs.blip.model import load
from blip_udfs.files.images import pixels
from tests.test_servers import SPARK_HOME, shell, thrift_server

pytestmark = pytest.mark.endurance

SESSIONS, QUERIES, K = 8, 25, 3
CANDIDATES = (0, 5, 9, 14)
TEXTS = [f"a {thing} {where}" for thing in ("car", "truck", "bus", "cyclist") for where in ("at night", "in the rain")]
MODEL = "SET spark.blip.model = {};"
SEARCH = (
    "SELECT '{tag}', frame_id, camera, blip_itm(image, '{text}') AS s FROM {table} WHERE weather <> '{weather}' "
    "ORDER BY s DESC, frame_id, camera LIMIT 3;"
)
TABLE = (
    "CREATE TABLE {table} USING parquet AS SELECT frame_id, camera, weather, image, blip_image_embed(image) AS "
    "embedding, blip_model() AS model FROM read_once('{tree}');"
)


class Answers:
    """What one model says of the tree's images, computed without Spark."""

    def __init__(self, name: str, rows: list):
        self.model, self.rows = load(name), rows
        images = np.stack([pixels(row.image.removeprefix("file:"), self.model.image_size) for row in rows])
        self.embeddings, self.features = self.model.embed_images(images), self.model.features(images)

    def best(self, text: str, weather: str, candidates: int) -> list[tuple]:
        """frame_id, camera, score of the K best rows of another weather."""
        itc = self.embeddings @ self.model.embed_texts([text])[0]
        scores = self.model.match_probability(self.model.itm_logits(self.features, [text] * len(self.rows)))
        kept = [i for i, row in enumerate(self.rows) if row.weather != weather]
        nearest = sorted(kept, key=lambda i: -itc[i])[: candidates or len(kept)]
        best = sorted(nearest, key=lambda i: (-scores[i], self.rows[i].frame_id, self.rows[i].camera))[:K]
        return [(self.rows[i].frame_id, self.rows[i].camera, scores[i]) for i in best]


class Session:
    """One user's statements, and what they should print."""

    def __init__(self, index: int, names: list[str], answers: list[Answers]):
        self.own, self.other = index % 2, 1 - index % 2
        self.names, self.answers = names, answers
        self.text, self.candidates = TEXTS[index], CANDIDATES[index // 2]
        self.statements = [MODEL.format(names[self.own]), f"SET spark.blip.search.candidates = {self.candidates};"]
        self.expected: dict[str, list] = {}
        kinds = (self.search, self.embed, self.label, self.setting, self.broken, self.another)
        for round_ in range(QUERIES):  # more statements than queries: the settings are counted apart
            kinds[round_ % len(kinds)](f"q{round_:02}")

    def search(self, tag: str) -> None:
        weather = ("sunny", "rainy", "cloudy")[int(tag[1:]) // 6 % 3]
        table = f"embedded{self.own}"
        self.statements.append(SEARCH.format(tag=tag, text=self.text, table=table, weather=weather))
        self.expected[tag] = self.answers[self.own].best(self.text, weather, self.candidates)

    def embed(self, tag: str) -> None:
        self.statements.append(f"SELECT '{tag}', blip_text_embed('{self.text} {tag}')[0];")
        self.expected[tag] = [(self.answers[self.own].model.embed_texts([f"{self.text} {tag}"])[0][0],)]

    def label(self, tag: str) -> None:
        self.statements.append(f"SELECT '{tag}', blip_model();")
        self.expected[tag] = [(self.answers[self.own].model.label,)]

    def setting(self, tag: str) -> None:
        self.statements.append(f"SELECT '{tag}', '${{spark.blip.search.candidates}}';")
        self.expected[tag] = [(str(self.candidates),)]

    def broken(self, tag: str) -> None:
        self.statements.append(f"SELECT '{tag}', blip_itm(CAST('{tag}' AS BINARY), 'a car');")
        self.expected[tag] = []

    def another(self, tag: str) -> None:
        """A query with the other model, and back."""
        query = f"SELECT '{tag}', blip_model();"
        self.statements += [MODEL.format(self.names[self.other]), query, MODEL.format(self.names[self.own])]
        self.expected[tag] = [(self.answers[self.other].model.label,)]

    def check(self, printed: str, said: str) -> None:
        # not only at a line's begin: beeline may print of its progress before the first
        lines = [line.split("\t") for line in re.findall(r"q\d\d\t.*", printed)]
        for tag, rows in self.expected.items():
            got = [line[1:] for line in lines if line[0] == tag]
            assert len(got) == len(rows), (tag, got, said[-3000:])
            for one, row in zip(got, rows, strict=True):
                assert all(same(*pair) for pair in zip(one, row, strict=True)), (tag, got, rows)
            assert rows or f"which begin with b'{tag}'" in said
        assert len(self.expected) == QUERIES


def same(printed: str, value) -> bool:
    return printed == value if isinstance(value, str) else abs(float(printed) - value) < 1e-5


def run_beeline(address: str, statements: list[str], folder: Path) -> tuple[str, str]:
    """What a session prints and says; errors do not end it."""
    folder.mkdir()
    (folder / "script.sql").write_text("\n".join(statements))
    words = ["-u", address, "--outputformat=tsv2", "--showHeader=false", "--force=true", "-f", "script.sql"]
    command = [str(SPARK_HOME / "bin" / "beeline"), *words]
    environment = {"SPARK_HOME": str(SPARK_HOME), "SPARK_DRIVER_MEMORY": "256m"} | {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    return done.stdout, done.stderr


class Memory(threading.Thread):
    """Megabytes of a process and all below it, seen every second until `done` is set."""

    def __init__(self, process: int):
        super().__init__(daemon=True)
        self.process, self.done, self.seen = psutil.Process(process), threading.Event(), []

    def run(self) -> None:
        while not self.done.wait(1):
            self.seen.append(sum(map(resident, [self.process, *self.process.children(recursive=True)])) / 2**20)


def resident(process: psutil.Process) -> int:
    """Bytes; a worker may end between being listed and being asked."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def test_eight_sessions_of_mixed_queries(spark, once_tree, tiny_model, tmp_path):
    from blip_udfs import read_once

    rows = read_once(spark, str(once_tree)).select("frame_id", "camera", "weather", "image").collect()
    names = ["demo", str(tiny_model)]
    answers = [Answers(name, rows) for name in names]
    sessions = [Session(index, names, answers) for index in range(SESSIONS)]
    tables = [MODEL.format(name) + TABLE.format(table=f"embedded{i}", tree=once_tree) for i, name in enumerate(names)]
    (tmp_path / "server").mkdir()
    flags = ("--master", "local[2]", "--driver-memory", "1g", "--conf", "spark.ui.enabled=false")
    doors = {"BLIP_READ_ROOTS": str(once_tree), "BLIP_ALLOWED_MODELS": ",".join(names)}
    with thrift_server(tmp_path / "server", *flags, **doors) as (address, server):
        words = [word for table in tables for word in ("-e", table)]
        shell(str(SPARK_HOME / "bin" / "beeline"), "-u", address, *words, cwd=tmp_path)
        memory = Memory(server.pid)
        memory.start()
        with ThreadPoolExecutor(SESSIONS) as pool:
            outputs = list(
                pool.map(lambda i: run_beeline(address, sessions[i].statements, tmp_path / f"{i}"), range(SESSIONS))
            )
        memory.done.set()
        memory.join()
    for session, output in zip(sessions, outputs, strict=True):
        session.check(*output)
    seconds = [float(each) for _, said in outputs for each in re.findall(r"selected \(([\d.]+) seconds\)", said)]
    half = len(memory.seen) // 2
    first, second = max(memory.seen[:half]), max(memory.seen[half:])
    print(
        f"{len(seconds)} queries: p50 {np.percentile(seconds, 50):.2f} s, p95 {np.percentile(seconds, 95):.2f} s; "
        f"{first:.0f} MB in the first half, {second:.0f} MB in the second"
    )
    assert second < 1.1 * first
