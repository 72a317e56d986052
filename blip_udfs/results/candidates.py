"""A table with embeddings, similarities to a question -> the rows that ITM scores, as blip_search chooses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

SIMILARITY = "blip_similarity"  # by this name the extension's rules know who chooses candidates by himself
REFUSED = "blip_refused"
PRODUCT, SEED, MARK, GROUP = "blip_product", "blip_seed", "blip_mark", "blip_group"
ANY, OTHERS = "blip_any", "blip_others"
KEYS = ("blip_image", "blip_made_by", "blip_newest")
OTHER, PAST = 1, 2
LABEL = ".@[0-9a-f]{12}$"  # as blip_model() gives it: a column `model` may be a car's
ROWS_A_TASK = 16  # of the rows that ITM scores: two batches


@dataclass(frozen=True)
class Names:
    """A table's columns for candidates; `model`, `version` and `error` are None where it has none of their type."""

    image: str
    embedding: str
    model: str | None
    version: str | None
    error: str | None

    @classmethod
    def of(cls, df: DataFrame, image: str, embedding: str) -> Names:
        kinds = {"model": "string", "version": "int", "error": "string"}
        there = {field.name.lower(): field.name for field in df.schema if kinds.get(field.name.lower()) == kind(field)}
        named_text = next(kind(field) for field in df.schema if field.name.lower() == image.lower()) == "string"
        version = there.get("version") if named_text else None  # images that are bytes have no name
        return cls(image, embedding, there.get("model"), version, there.get("error"))


def kind(field) -> str:
    return field.dataType.simpleString()


def check_columns(df: DataFrame, columns: list[str], mend: str = "name another") -> None:
    if missing := [column for column in columns if column not in df.columns]:
        raise ValueError(f"expected a column {missing[0]}, the table has {', '.join(df.columns)}; {mend}")


def measured(df: DataFrame, names: Names, near: Column, size: int, ours: str, where: str | None = None) -> DataFrame:
    """`judged`, with a row's similarity, NULL where an embedding cannot be compared (NULL, NaN, zero, another length
    than `size`)."""
    from pyspark.sql import functions as F

    products = judged(df, names, ours, where).withColumn(PRODUCT, F.when(F.size(names.embedding) == size, near))
    similarity = usable(F.col(PRODUCT), F.col(names.embedding))
    return products.withColumn(SIMILARITY, similarity).drop(PRODUCT)


def judged(df: DataFrame, names: Names, ours: str, where: str | None = None) -> DataFrame:
    """`df` where `where`, with why a row is no candidate of the model `ours`, NULL where it is one."""
    from pyspark.sql import functions as F

    rows, is_old = with_newest(df, names)
    past = [is_old] if is_old is not None else []
    past += [F.col(names.error).isNotNull() & F.col(names.embedding).isNull()] if names.error else []
    why = F.lit(None).cast("int")
    for condition in past:
        why = F.when(condition, PAST).otherwise(why)
    for label in labels_of_others(df, names, ours):
        why = F.when(label.isNotNull(), OTHER).otherwise(why)
    rows = rows.withColumn(REFUSED, why)
    return (rows.where(where) if where else rows).drop(*KEYS)


def usable(product: Column, embedding: Column) -> Column:
    from pyspark.sql import functions as F

    is_zero = (product == 0) & (F.array_max(embedding) == 0) & (F.array_min(embedding) == 0)
    return F.when(~(F.isnan(product) | (F.abs(product) == float("inf")) | is_zero), product)


def with_newest(df: DataFrame, names: Names) -> tuple[DataFrame, Column | None]:
    """`df`, and whether a row is older than the newest of its image and model; no row is moved."""
    from pyspark.sql import functions as F

    if not names.version:
        return df, None
    keys = [names.image, *([names.model] if names.model else [])]
    later = df.where(F.col(names.version) > 1).groupBy(*(F.col(key).alias(KEYS[at]) for at, key in enumerate(keys)))
    newest = F.broadcast(later.agg(F.max(names.version).alias(KEYS[-1])))
    same = [df[key].eqNullSafe(newest[KEYS[at]]) for at, key in enumerate(keys)]
    is_old = F.coalesce(F.col(names.version) < F.col(KEYS[-1]), F.lit(False))
    return df.join(newest, same, "left"), is_old


def labels_of_others(df: DataFrame, names: Names, ours: str) -> list[Column]:
    """The model that a row is of, NULL where it is `ours`: by its column; by the digest in stored patch features."""
    from pyspark.sql import functions as F

    from blip_udfs.blip.features import stored

    of = []
    if names.model:
        model = F.col(names.model)
        of.append(F.when(model.rlike(LABEL) & (model != ours), model))
    if kind(df.schema[names.image]) == "binary":
        known = stored()
        magic = F.substring(names.image, 1, len(str(known["magic"])))
        digest = F.substring(names.image, int(known["digest"]), int(known["digits"])).cast("string")
        is_stored = magic == F.lit(known["magic"]).cast("binary")
        of.append(F.when(is_stored & (digest != ours.rpartition("@")[2]), digest))
    return of


def candidates(rows: DataFrame, names: Names, count: int, group: list[Column], k: int, ours: str) -> DataFrame:
    """Of what `measured` gives, the `count` nearest rows (0: all), without what is no candidate.

    Where rows are grouped, the nearest of each of the `k` nearest groups come first, so that k groups are among them
    where the table has k. Spark raises an error that names both models if nothing but rows of another one is there.
    """
    from pyspark.sql import functions as F

    if not count:
        return rows.where(F.col(REFUSED).isNull()).drop(REFUSED)
    order = [F.asc_nulls_first(REFUSED), F.desc_nulls_last(SIMILARITY)]
    if group:
        rows, count = with_seeds(rows, names, group, k), max(count, k)
        order.insert(1, F.desc(SEED))
    taken = rows.orderBy(*order).limit(count).drop(SEED)
    # the nearest rows arrive as one partition: ITM would run on one core
    labels = labels_of_others(rows, names, ours)
    return checked(taken, labels, ours).drop(REFUSED).repartition(-(-count // ROWS_A_TASK))


def with_seeds(rows: DataFrame, names: Names, group: list[Column], k: int) -> DataFrame:
    """`rows`, and whether each is the nearest of one of the `k` nearest groups; only a row of each group is moved."""
    from pyspark.sql import functions as F

    mark = F.struct(F.col(SIMILARITY), F.xxhash64(names.image))
    keyed = rows.withColumns({**{f"{GROUP}{at}": each for at, each in enumerate(group)}, MARK: mark})
    keys = [f"{GROUP}{at}" for at in range(len(group))]
    best = keyed.where(F.col(REFUSED).isNull()).groupBy(*(F.col(key).alias(f"{key}_") for key in keys))
    nearest = best.agg(F.max(MARK).alias(f"{MARK}_")).orderBy(F.desc_nulls_last(f"{MARK}_")).limit(k)
    same = [F.col(key).eqNullSafe(F.col(f"{key}_")) for key in (*keys, MARK)]
    joined = keyed.join(F.broadcast(nearest), same, "left")
    seeded = joined.withColumn(SEED, F.col(f"{MARK}_").isNotNull())
    return seeded.drop(*keys, MARK, *(f"{key}_" for key in (*keys, MARK)))


def checked(taken: DataFrame, labels: list[Column], ours: str, of: Column | None = None) -> DataFrame:
    """Candidates (of each value of `of`) without what is none, an error if that is because all are of other models."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    is_candidate = F.col(REFUSED).isNull()
    if not labels:
        return taken.where(is_candidate)
    everything = Window.partitionBy(F.lit(1) if of is None else of)  # in one partition already
    before, after = map(F.lit, none_left(ours))
    message = F.concat(before, F.col(OTHERS), after)
    others = F.max(F.when(F.col(REFUSED) == OTHER, coalesced(labels))).over(everything)
    seen = taken.withColumns({ANY: F.max(is_candidate).over(everything), OTHERS: others})
    is_wrong = ~F.col(ANY) & F.col(OTHERS).isNotNull()
    kept = F.when(is_wrong, F.raise_error(message).cast("boolean")).otherwise(is_candidate)
    return seen.where(kept).drop(ANY, OTHERS)


def none_left(ours: str) -> tuple[str, str]:
    """What is said before and after the label of another model, where no row is of the session's."""
    return (
        f"no row has an embedding of the session's model {ours}; they were made by ",
        ": SET spark.blip.model to that one, or embed the images again",
    )


def coalesced(columns: list[Column]) -> Column:
    from pyspark.sql import functions as F

    return columns[0] if len(columns) == 1 else F.coalesce(*columns)


def quoted(name: str) -> str:
    """A column's name, whatever is in it, where a dot would be a field's."""
    return f"`{name.replace('`', '``')}`"
