"""Random plans over a small table: the rows are those of the protocol in numpy; N rows are scored, or all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from blip_udfs import functions as BF
from blip_udfs.blip.model import load
from tests.plans import evaluations
from tests.protocol import Row, allowed, nearest, nearest_of_each, similarity

pytestmark = pytest.mark.slow
TEXT = "a truck at night"
N, K = 6, 3
PLANS = int(os.environ.get("BLIP_PLANS", "60"))  # `make endurance` asks for 500
VECTORS = "embedding ARRAY<FLOAT>, vector ARRAY<FLOAT>"
SCHEMA = f"id INT, image STRING, {VECTORS}, model STRING, version INT, camera STRING, part INT"
NAMES = [each.split()[0] for each in SCHEMA.split(", ")]
numbers = count()


@dataclass(frozen=True)
class State:
    """A relation as SQL, the rows that it has, and what is known of its image's embedding.

    `columns` are names in the relation -> what they hold; `foreign` those that are another row's than the image;
    `relation` are the rows in which the newest versions are looked for.
    """

    sql: str
    rows: list[Row]
    columns: dict[str, str]
    relation: list[Row]
    image_is_column: bool = True
    foreign: frozenset[str] = frozenset()

    def read(self) -> str:
        return f"({self.sql}) AS s{next(numbers)}"

    def select(self, columns: dict[str, str], more: str = "", **changes: Any) -> State:
        """SELECT new name -> name here."""
        said = ", ".join(f"{old} AS {new}" if old != new else new for new, old in columns.items())
        held = {new: self.columns[old] for new, old in columns.items()}
        foreign = frozenset(new for new, old in columns.items() if old in self.foreign)
        sql = f"SELECT {said} FROM {self.read()} {more}"
        return replace(self, sql=sql, columns=held, foreign=foreign, **changes)

    def same(self) -> dict[str, str]:
        return {name: name for name in self.columns}

    def as_it_is(self, sql: str) -> State:
        """What a view, a CTE, a union shows: nothing below it counts."""
        return replace(self, sql=sql, relation=self.seen(), image_is_column=True, foreign=frozenset())

    def seen(self) -> list[Row]:
        """The rows by the names that they have here."""
        return [{name: row[held] for name, held in self.columns.items()} for row in self.rows]


def filtered(state: State, part: int) -> State:
    return state.select(state.same(), f"WHERE part < {part}", rows=[row for row in state.rows if row["part"] < part])


def of_camera(state: State, camera: str) -> State:
    kept = [row for row in state.rows if row["camera"] == camera]
    return state.select(state.same(), f"WHERE camera = '{camera}'", rows=kept)


def renamed(state: State, _: Any) -> State:
    return state.select({("kept" if name == "embedding" else name): name for name in state.columns})


def swapped(state: State, _: Any) -> State:
    """Another vector takes the embedding's name."""
    if "vector" not in state.columns or "embedding" not in state.columns:
        return state
    swap = {"embedding": "vector", "vector": "embedding"}
    return state.select({name: swap.get(name, name) for name in state.columns})


def without(state: State, name: str) -> State:
    return state.select({each: each for each in state.columns if each != name})


def remade(state: State, _: Any) -> State:
    """The same path, by an expression: for the plan another image."""
    said = ", ".join("concat(image, '') AS image" if name == "image" else name for name in state.columns)
    return replace(state, sql=f"SELECT {said} FROM {state.read()}", image_is_column=False)


def viewed(spark, state: State, kind: str) -> State:
    name = f"view_{next(numbers)}"
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS {state.sql}")
    if kind == "cached":
        spark.sql(f"CACHE TABLE {name}")
    return state.as_it_is(f"SELECT * FROM {name}")


def expressed(state: State, _: Any) -> State:
    name = f"cte_{next(numbers)}"
    return state.as_it_is(f"WITH {name} AS ({state.sql}) SELECT * FROM {name}")


def joined(state: State, kind: str) -> State:
    """With a table of cameras, or with the embeddings of another row of the same table."""
    if kind == "cameras":
        said = ", ".join(f"l.{name}" for name in state.columns)
        return replace(state, sql=f"SELECT {said} FROM ({state.sql}) AS l JOIN cameras AS r USING (camera)")
    if "embedding" not in state.columns:
        return state
    said = ", ".join("r.embedding" if name == "embedding" else f"l.{name}" for name in state.columns)
    held = state.columns | {"embedding": "embedding"}
    sql = f"SELECT {said} FROM ({state.sql}) AS l JOIN base AS r USING (id)"
    return replace(state, sql=sql, columns=held, foreign=state.foreign | {"embedding"})


def united(state: State, part: int) -> State:
    names = ", ".join(state.columns)
    both = [f"SELECT {names} FROM {state.read()} WHERE part {sign} {part}" for sign in ("<", ">=")]
    return replace(state, sql=" UNION ALL ".join(both), relation=state.seen())


def sampled(state: State, _: Any) -> State:
    return replace(state, sql=f"SELECT * FROM ({state.sql}) TABLESAMPLE (100 PERCENT)", relation=state.seen())


STEPS = {
    "filter": (filtered, st.integers(1, 6)),
    "camera": (of_camera, st.sampled_from(["cam01", "cam03"])),
    "rename": (renamed, st.none()),
    "swap": (swapped, st.none()),
    "drop": (without, st.sampled_from(["embedding", "model", "version"])),
    "remake": (remade, st.none()),
    "view": (viewed, st.sampled_from(["plain", "cached"])),
    "cte": (expressed, st.none()),
    "join": (joined, st.sampled_from(["cameras", "cameras", "others"])),
    "union": (united, st.integers(1, 6)),
    "sample": (sampled, st.none()),
}
step = st.sampled_from(list(STEPS)).flatmap(lambda name: st.tuples(st.just(name), STEPS[name][1]))


@pytest.fixture(scope="module")
def base(spark, tiny_model, once_tree):
    """60 rows: 24 images, versions, two models, embeddings that cannot be compared, a second vector."""
    model, draw = load(str(tiny_model)), np.random.default_rng(3)
    size = len(model.embed_texts([TEXT])[0])
    images = spark.sql(f"SELECT image, camera FROM read_once('{once_tree}') ORDER BY image LIMIT 24").collect()

    def vector() -> list[float]:
        return draw.normal(size=size).astype(np.float32).tolist()

    odd = {3: None, 7: [float("nan")] * size, 11: [0.0] * size, 13: [1.0] * (size // 2)}
    made = [(image, model.label, 1) for image in images] + [(image, model.label, 2) for image in images[:6]]
    made += [(image, "other@0123456789ab", 1) for image in images] + [(images[9], None, 1)] * 6
    rows = []
    for at, (image, label, version) in enumerate(made):
        values = (at, image.image, odd.get(at, vector()), vector(), label, version, image.camera, at % 6)
        rows.append(dict(zip(NAMES, values, strict=True)))
    spark.createDataFrame([tuple(row.values()) for row in rows], SCHEMA).coalesce(2).write.saveAsTable("base")
    spark.sql(
        "CREATE TABLE cameras USING parquet AS SELECT * FROM VALUES ('cam01', 'x'), ('cam03', 'y') AS c(camera, model)"
    )
    return rows


@pytest.fixture(scope="module")
def truth(spark, tiny_model, base):
    """The text's embedding, the model's label, and image -> ITM, by the model called directly."""
    from blip_udfs.files.images import pixels

    model = load(str(tiny_model))
    images = sorted({row["image"] for row in base})
    decoded = np.stack([pixels(image.removeprefix("file:"), model.image_size) for image in images])
    scores = model.match_probability(model.itm_logits(model.features(decoded), [TEXT] * len(images)))
    return model.embed_texts([TEXT])[0], model.label, dict(zip(images, map(float, scores), strict=True))


@pytest.fixture(scope="module")
def reasons(spark):
    """What the rule has written to the log since it was last asked."""
    log, text = spark._jvm.org.apache.logging.log4j, spark._jvm.java.io.StringWriter()
    appender = log.core.appender.WriterAppender.createAppender(None, None, text, "random", False, True)
    appender.start()
    name = "org.apache.spark.sql.blip.Cascade"
    log.core.config.Configurator.setLevel(name, log.Level.WARN)
    log.LogManager.getLogger(name).addAppender(appender)

    def since() -> str:
        said = text.toString()
        text.getBuffer().setLength(0)
        return said

    yield since
    log.LogManager.getLogger(name).removeAppender(appender)
    log.core.config.Configurator.setLevel(name, log.Level.ERROR)


def candidates(state: State, label: str) -> list[Row]:
    relation = [{name: row[name] for name in row if name in state.columns} for row in state.relation]
    return allowed(state.seen(), label, relation if "version" in state.columns else None)


def expected(state: State, truth) -> tuple[list[Row] | None, int]:
    """The rows that are scored (None where the choice among those without a similarity is Spark's), and how many."""
    text, label, _ = truth
    if not is_served(state):
        return state.rows, len(state.rows)
    rows = candidates(state, label)
    chosen = nearest(rows, text, N)
    return chosen if certain(chosen, rows, text) else None, len(chosen)


def certain(chosen: list[Row], rows: list[Row], text: np.ndarray) -> bool:
    return all(similarity(row["embedding"], text) is not None for row in chosen) or len(rows) <= N


def is_served(state: State) -> bool:
    return "embedding" in state.columns and state.image_is_column and "embedding" not in state.foreign


def asked(session, sql: str, form: str):
    if form == "alias":
        return session.sql(f"SELECT image, blip_itm(image, '{TEXT}') AS s FROM ({sql}) ORDER BY s DESC LIMIT {K}")
    if form == "call":
        return session.sql(f"SELECT image FROM ({sql}) ORDER BY blip_itm(image, '{TEXT}') DESC LIMIT {K}")
    return session.sql(sql).withColumn("s", BF.blip_itm("image", TEXT)).orderBy(F.desc("s")).limit(K)


@dataclass(frozen=True)
class Walk:
    """A relation that steps have made, in a session in which no reason has been said yet."""

    session: Any
    state: State

    @classmethod
    def of(cls, spark, tiny_model, base: list[Row], steps: list[tuple]) -> Walk:
        session = spark.newSession()
        session.conf.set("spark.blip.model", str(tiny_model))
        session.conf.set("spark.blip.search.candidates", N)
        state = State("SELECT * FROM base", base, {name: name for name in NAMES}, base)
        for name, argument in steps:
            function = STEPS[name][0]
            state = function(session, state, argument) if function is viewed else function(state, argument)
        return cls(session, state)

    def answer(self, df, reasons, scored: int) -> list | None:
        """The rows, with evaluations and reasons as they must be; None where no row has an embedding of the model."""
        reasons()
        try:
            rows, made = evaluations(df)
        except PySparkException as error:
            assert "no row has an embedding of the session's model" in str(error) and scored == 0, self.state.sql
            return None
        finally:
            self.session.catalog.clearCache()
        assert made == scored, self.state.sql
        if self.state.rows:  # of none Spark leaves no plan to serve
            assert ("every row is scored: " in reasons()) is not is_served(self.state), self.state.sql
        return rows


def plans(count: int):
    return settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@plans(PLANS)
@given(steps=st.lists(step, max_size=5), form=st.sampled_from(["alias", "call", "dataframe"]))
def test_rows_are_the_protocols_and_evaluations_n_or_all(spark, tiny_model, base, truth, reasons, steps, form):
    walk = Walk.of(spark, tiny_model, base, steps)
    rows, scored = expected(walk.state, truth)
    answer = walk.answer(asked(walk.session, walk.state.sql, form), reasons, scored)
    if answer is None:
        return
    assert len(answer) == min(K, scored), walk.state.sql
    if rows is not None:
        best = sorted((truth[2][row["image"]] for row in rows), reverse=True)[:K]
        np.testing.assert_allclose([truth[2][row.image] for row in answer], best, atol=1e-6, err_msg=walk.state.sql)


OF_EACH = {
    "aggregate": "SELECT camera, max({}) AS s FROM ({}) GROUP BY camera",
    "window": "SELECT camera, s FROM (SELECT *, rank() OVER (PARTITION BY camera ORDER BY s DESC) AS place "
    "FROM (SELECT camera, image, {} AS s FROM ({}) AS r)) WHERE place = 1",
}


@plans(PLANS // 4)
@given(steps=st.lists(step, max_size=5), form=st.sampled_from(list(OF_EACH)))
def test_the_best_of_each_camera(spark, tiny_model, base, truth, reasons, steps, form):
    walk = Walk.of(spark, tiny_model, base, steps)
    text, label, scores = truth
    rows = candidates(walk.state, label) if is_served(walk.state) else walk.state.rows
    groups = nearest_of_each(rows, text, N if is_served(walk.state) else len(rows), "camera")
    sql = OF_EACH[form].format(f"blip_itm(image, '{TEXT}')", walk.state.sql)
    answer = walk.answer(walk.session.sql(sql), reasons, sum(map(len, groups.values())))
    if answer is None:
        return
    assert {row.camera for row in answer} == {camera for (camera,) in groups}, sql
    for row in answer:
        chosen, of_camera = groups[row.camera,], [each for each in rows if each["camera"] == row.camera]
        if not is_served(walk.state) or certain(chosen, of_camera, text):
            assert row.s == pytest.approx(max(scores[each["image"]] for each in chosen), abs=1e-6), sql
