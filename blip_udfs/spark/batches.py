"""Arrow batches of images and texts -> batches of the model's size -> results in the rows' order."""

from __future__ import annotations

import faulthandler
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from cachetools import LRUCache

from blip_udfs.blip.features import Stored, is_features, read_features
from blip_udfs.files.doors import limit
from blip_udfs.files.images import ImageError, image_error, pixels
from blip_udfs.files.sources import ClosedError
from blip_udfs.spark import handed
from blip_udfs.spark.parts import PARTS
from blip_udfs.spark.settings import Settings

if TYPE_CHECKING:
    from blip_udfs.blip.family import Model

STORED_PER_IMAGE = 2  # rows of patch features that make as good a forward pass as one image to encode
BYTES_AT_ONCE = 64 << 20  # encoded images or patch features of a forward pass, whatever Arrow sends
DECODERS = 2  # threads that read and decode while a model works on the same cores; Pillow releases the interpreter lock
TEXTS_AT_ONCE = 64
TEXTS_KEPT = 10_000  # embeddings of texts that a worker remembers: about 10 MB of 256 floats each
LONGEST_KEPT = 1_000  # characters of such a text

_text_embeddings: LRUCache[tuple[str, str, str], np.ndarray] = LRUCache(TEXTS_KEPT)


def model_of(settings: Settings) -> Model:
    """The session's model, loaded once per worker process, on as many threads as the task has cores."""
    from pyspark import TaskContext

    from blip_udfs.blip.model import device_of_task, find_once, load, set_threads

    context = TaskContext.get()
    if context:
        set_threads(context.cpus())  # else parallel workers would fight for the same cores
    gpu = context.resources().get("gpu") if context else None
    device = device_of_task(settings.device, gpu.addresses if gpu else [])
    model = load(settings.model, device, settings.dtype, settings.backend)
    if handed.settle(model):  # loaded now, and not before this worker's birth
        handed.hand(settings.model, str(find_once(settings.model).folder), model)
    return model


def over_images(
    batches: Iterator[Any],
    forward: Callable[..., Iterable],
    settings: Settings,
    tolerant: bool = False,
    reasons: bool = False,
) -> Iterator[Any]:
    """`forward(model, settings, images, texts)` on the rows of `batches` that have all their arguments.

    Rows with a NULL give NULL. A row whose image cannot be used raises ImageError, or gives NULL if `tolerant`; with
    `reasons` the results are a frame of two columns, the value and why there is none.
    """
    from blip_udfs.blip.model import decoders

    rows = rows_of(batches)
    first = next(rows, None)
    if first is None:
        return  # a partition without rows loads no model
    model = model_of(settings)
    chunks = full_batches(chain([first], rows), settings.batch_size, model.batch_size)
    with ThreadPoolExecutor(decoders(model.device.type, DECODERS)) as pool:
        for chunk in ahead(pool, partial(prepared, model), chunks):
            values = results(chunk, partial(forward, model, settings), tolerant or reasons)
            yield pd.DataFrame({"value": values, "reason": errors(chunk)}) if reasons else values


def rows_of(batches: Iterable[Any]) -> Iterator[tuple]:
    """Rows as tuples of Python values, NULL as None; a batch is one Series or a tuple of them."""
    for batch in batches:
        columns = batch if isinstance(batch, tuple) else (batch,)
        yield from zip(*(null_as_none(column) for column in columns), strict=True)


def null_as_none(column: pd.Series) -> Iterator[Any]:
    # pandas gives NaN for NULL in a column of strings or numbers, None in one of objects
    return (None if value is None or isinstance(value, float) and np.isnan(value) else value for value in column)


def full_batches(rows: Iterable[tuple], wanted: int | None, suits: int) -> Iterator[list[tuple]]:
    """Rows for one forward pass each: as many as `wanted`, else as suit the device, within BYTES_AT_ONCE."""
    batch: list[tuple] = []
    filled = 0.0
    for row in rows:
        image = row[0]
        stored = isinstance(image, bytes) and is_features(image)
        size = len(image) if isinstance(image, bytes) else 0
        share = max(1 / (wanted or suits * (STORED_PER_IMAGE if stored else 1)), size / BYTES_AT_ONCE)
        if batch and filled + share > 1 + 1e-6:
            yield batch
            batch, filled = [], 0.0
        batch.append(row)
        filled += share
    if batch:
        yield batch


def chunked(rows: Iterator, size: int) -> Iterator[list]:
    return iter(lambda: list(islice(rows, size)), [])


def ahead(pool: Executor, prepare: Callable, chunks: Iterable[list]) -> Iterator[list]:
    """Each chunk with `prepare` applied to its rows, one chunk in advance: decoding overlaps with the model."""
    waiting: deque[Iterator] = deque()
    for chunk in chunks:
        waiting.append(pool.map(prepare, chunk))
        if len(waiting) > 1:
            yield in_time(waiting.popleft())
    for prepared_rows in waiting:
        yield in_time(prepared_rows)


def in_time(rows: Iterable) -> list:
    """All of them; a worker in which an image's decoder hangs ends itself after BLIP_IMAGE_SECONDS, and Spark sees it.

    Not by a Python thread: a decoder may keep the interpreter's lock.
    """
    if not (seconds := limit("BLIP_IMAGE_SECONDS")):
        return list(rows)
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)  # 2: what the worker's log is
    try:
        return list(rows)
    finally:
        faulthandler.cancel_dump_traceback_later()


def prepared(model: Model, row: tuple) -> tuple | ImageError | None:
    """The row with its image as pixels uint8 (S, S, 3) or stored patch features (N, W);
    None if an argument is NULL, the error if the image cannot be used."""
    if any(value is None for value in row):
        return None
    try:
        image, *texts = row
        return (loaded(image, model), *map(checked_texts, texts))
    except ImageError as error:
        return error


def loaded(image: Any, model: Model) -> np.ndarray | Stored:
    if isinstance(image, bytes) and is_features(image):
        return read_features(image, model.digest, model.features_shape)
    return pixels(checked_image(image), model.image_size)


def reason(settings: Settings, image: Any) -> str | None:
    if isinstance(image, bytes) and is_features(image):  # which the session's model must be able to use
        try:
            loaded(image, model_of(settings))
        except ImageError as error:
            return str(error)
        return None
    return None if image is None else image_error(checked_image(image))


def checked_image(image: Any) -> bytes | str:
    """Without the extension Spark does not check the types of arguments: a worker that gets another one says so."""
    if not isinstance(image, (bytes, str)):
        raise TypeError(f"image: expected BINARY or STRING, got {type(image).__name__}: {image!r:.80}")
    return image


def checked_texts(texts: Any) -> Any:
    """One text, or an array of texts or of such arrays with NULLs in it."""
    if isinstance(texts, (list, np.ndarray)):
        return [checked_texts(each) for each in texts]
    return checked_text(texts)


def checked_text(text: Any) -> str | None:
    if not isinstance(text, (str, type(None))):
        raise TypeError(f"text: expected STRING, got {type(text).__name__}: {text!r:.80}; CAST it AS STRING")
    most = limit("BLIP_MAX_TEXT_CHARACTERS")
    if text is not None and len(text) > most:
        raise ValueError(
            f"text of {len(text):,} characters, which begins {text[:40]!r}: expected at most {most:,}; BLIP reads its "
            "first 35 tokens"
        )
    return text


def errors(rows: list) -> pd.Series:
    """Why a row has no result, None where it has one."""
    return pd.Series([str(row) if isinstance(row, ImageError) else None for row in rows], dtype=object)


def results(rows: list, forward: Callable[..., Iterable], tolerant: bool) -> pd.Series:
    """One result per row, None where there is none."""
    fatal = next((row for row in rows if isinstance(row, ClosedError if tolerant else ImageError)), None)
    if fatal:
        raise fatal
    usable = [index for index, row in enumerate(rows) if isinstance(row, tuple)]
    values: list[Any] = [None] * len(rows)
    if usable:
        columns = zip(*(rows[index] for index in usable), strict=True)
        for index, value in zip(usable, forward(*map(list, columns)), strict=True):
            values[index] = settled(value, tolerant)
    return pd.Series(values, dtype=object)


def settled(value: Any, tolerant: bool) -> Any:
    """A result, or a part of one, that could not be made of the row's image raises its error, or is NULL."""
    if isinstance(value, dict):
        return {part: settled(each, tolerant) for part, each in value.items()}
    if isinstance(value, ImageError) and not tolerant:
        raise value
    return None if isinstance(value, ImageError) else value


def embeddings(model: Model, settings: Settings, images: list) -> list[np.ndarray]:
    return by_kind(
        images,
        lambda decoded: model.embed_images(np.stack(decoded)),
        lambda stored: model.embed_features(np.stack([each.numbers(1) for each in stored])),  # it reads [CLS] alone
    )


def features(model: Model, images: list) -> np.ndarray:
    """(B, N, W): float16 if all were stored so, which torch widens ten times faster than numpy; else float32."""
    return np.stack(
        by_kind(
            images,
            lambda decoded: model.features(np.stack(decoded)),
            lambda stored: [each.numbers() for each in stored],
        )
    )


def packed_features(model: Model, settings: Settings, images: list) -> list[bytes | ImageError]:
    return [packed(model, settings, each) for each in features(model, images)]


def packed(model: Model, settings: Settings, image: np.ndarray) -> bytes | ImageError:
    """Patch features (N, W) as bytes, or why not: that is this row's error and leaves its batch alone."""
    try:
        return model.pack(image, settings.features)
    except ImageError as error:
        return error


def by_kind(images: list, from_pixels: Callable, from_features: Callable) -> list[np.ndarray]:
    """Pixels through one function, stored patch features through the other, in the images' order."""
    out: list[Any] = [None] * len(images)
    for kind, function in ((np.ndarray, from_pixels), (Stored, from_features)):
        which = [index for index, image in enumerate(images) if isinstance(image, kind)]
        if which:
            for index, value in zip(which, function([images[i] for i in which]), strict=True):
                out[index] = value
    return out


def match_logits(model: Model, settings: Settings, images: list, texts: list[str]) -> np.ndarray:
    return itm_logits(model, settings, images, texts)[:, 1]


def match_probabilities(model: Model, settings: Settings, images: list, texts: list[str]) -> np.ndarray:
    return model.match_probability(itm_logits(model, settings, images, texts))


def itm_logits(model: Model, settings: Settings, images: list, texts: list[str]) -> np.ndarray:
    return model.itm_logits(features(model, images), texts, settings.itm_token)  # (B, 2)


def match_probabilities_of_many(
    model: Model, settings: Settings, images: list, texts: list[Sequence[str | None]]
) -> list[list[float | None]]:
    return [
        probabilities(model, settings, each, list(wanted))
        for each, wanted in zip(features(model, images), texts, strict=True)
    ]


def probabilities(model: Model, settings: Settings, image: np.ndarray, texts: list[str | None]) -> list[float | None]:
    """One image (N, W) against its texts; NULL for a NULL text."""
    return as_probabilities(model, logits_of(model, settings, image, texts))


def logits_of(model: Model, settings: Settings, image: np.ndarray, texts: list[str | None]) -> list[np.ndarray | None]:
    """As probabilities, but float32 (2,): no match, match."""
    given = (text for text in texts if text is not None)
    rows = chain.from_iterable(
        model.itm_logits_of_many(image, some, settings.itm_token) for some in chunked(given, TEXTS_AT_ONCE)
    )
    return [None if text is None else next(rows) for text in texts]


def as_probabilities(model: Model, logits: list[np.ndarray | None]) -> list[float | None]:
    return [None if row is None else float(model.match_probability(row[None])[0]) for row in logits]


def as_frame(rows: pd.Series) -> pd.DataFrame:
    """Dictionaries, None where there is none -> a column per part."""
    return pd.DataFrame({part: [row and row.get(part) for row in rows] for part in PARTS}, dtype=object)


def everything(
    model: Model, settings: Settings, images: list, parts: list[str], texts: list, arrays: list
) -> list[dict[str, Any]]:
    """Of each image the parts that are wanted, all from one pass of the vision encoder."""
    encoded, wanted = features(model, images), parts[0].split()  # (B, N, W)
    vectors = model.embed_features(encoded) if "embedding" in wanted else [None] * len(images)
    blobs = [packed(model, settings, each) for each in encoded] if "features" in wanted else [None] * len(images)
    return [
        {"embedding": vector, "features": blob} | matched(model, settings, image, own, many)
        for image, vector, blob, own, many in zip(encoded, vectors, blobs, texts, arrays, strict=True)
    ]


def matched(model: Model, settings: Settings, image: np.ndarray, texts: list, arrays: list) -> dict[str, list]:
    """One image (N, W) against its texts and its arrays of texts, NULL for NULL, in one pass of the text encoder."""
    every = [*texts, *chain.from_iterable(array for array in arrays if array is not None)]
    logits = logits_of(model, settings, image, every)
    scores = iter(as_probabilities(model, logits))
    return {
        "logits": [None if row is None else float(row[1]) for row in logits[: len(texts)]],
        "probabilities": list(islice(scores, len(texts))),
        "probabilities_of_many": [None if array is None else list(islice(scores, len(array))) for array in arrays],
    }


def text_embeddings(model: Model, texts: list[str | None]) -> list[np.ndarray | None]:
    """L2-normalised (D,) per text; a text that came before is not encoded again."""
    keys = [None if text is None else (model.label, str(model.dtype), text) for text in texts]
    known = {key: _text_embeddings[key] for key in keys if key is not None and key in _text_embeddings}
    new = [key for key in dict.fromkeys(keys) if key is not None and key not in known]
    for keys_at_once in chunked(iter(new), TEXTS_AT_ONCE):
        vectors = model.embed_texts([text for *_, text in keys_at_once])  # (B, D)
        known.update(zip(keys_at_once, vectors, strict=True))
    _text_embeddings.update({key: known[key] for key in new if len(key[-1]) <= LONGEST_KEPT})
    return [None if key is None else known[key] for key in keys]
