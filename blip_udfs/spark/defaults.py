"""spark-defaults.conf, PYSPARK_SUBMIT_ARGS and flags of the command line -> what the user's Spark is set to, and
blip-udfs' settings added to it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SUBMIT_ARGS = "PYSPARK_SUBMIT_ARGS"
SEPARATORS = {"spark.jars": ",", "spark.sql.extensions": ",", "spark.driver.extraJavaOptions": " "}
PYTHON, DAEMON = "spark.pyspark.python", "spark.python.daemon.module"
KEPT = (PYTHON, DAEMON)  # the user's stands
KEYS = {"--jars": "spark.jars", "--packages": "spark.jars.packages", "--master": "spark.master"}
TAKEN = ("--jars", "--conf", "-c", "--properties-file")


def of_user(flags: Sequence[str] = ()) -> dict[str, str]:
    """What Spark would start with: the defaults' file, then the flags."""
    return of_file(defaults_file(flags)) | of_flags(flags)


def submit_args() -> list[str]:
    return shlex.split(os.environ.get(SUBMIT_ARGS, ""))


def defaults_file(flags: Sequence[str]) -> Path:
    for flag, value in pairs(flags):
        if flag == "--properties-file":
            return Path(value)
    folder = os.environ.get("SPARK_CONF_DIR")
    return (Path(folder) if folder else home() / "conf") / "spark-defaults.conf"


def home() -> Path:
    """SPARK_HOME, else where pyspark is."""
    import pyspark

    named = os.environ.get("SPARK_HOME")
    return Path(named) if named else Path(pyspark.__file__).parent


def of_file(file: Path) -> dict[str, str]:
    """Java's properties as Spark reads them: a key, then blanks, = or :, then the value; \\ continues a line."""
    if not file.is_file():
        return {}
    text = re.sub(r"\\\r?\n\s*", "", file.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines()]
    words = [re.split(r"\s*[=:\s]\s*", line, maxsplit=1) for line in lines if line and line[0] not in "#!"]
    return {key: value for key, value, *_ in ([*each, ""] for each in words)}


def of_flags(flags: Sequence[str]) -> dict[str, str]:
    """--conf KEY=VALUE, --jars and --packages as settings; Spark prefers --jars to a --conf spark.jars."""
    found, named = {}, {}
    for flag, value in pairs(flags):
        if flag in ("--conf", "-c"):
            key, _, given = value.partition("=")
            found[key.strip()] = given.strip()
        elif flag in KEYS:
            named[KEYS[flag]] = value
    return found | named


def pairs(flags: Sequence[str]) -> Iterator[tuple[str, str]]:
    """--jars x and --jars=x alike."""
    rest = iter(flags)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in (*KEYS, *TAKEN):
            yield flag, value if equals else next(rest, "")


def without_added(flags: Sequence[str]) -> list[str]:
    """The flags but those whose settings `added` has taken in: a later --jars would replace the whole list."""
    kept, rest = [], iter(flags)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag not in ("--jars", "--conf", "-c"):
            kept.append(word)
            continue
        given = value if equals else next(rest, "")
        if flag != "--jars" and given.partition("=")[0].strip() not in SEPARATORS:
            kept += ["--conf", given]
    return kept


def carry(settings: Mapping[str, str]) -> None:
    """Puts the lists of `settings` in place of those in PYSPARK_SUBMIT_ARGS, which Spark prefers to a builder's."""
    flags = submit_args()
    theirs = of_flags(flags)
    lists = {key: settings.get(key, theirs[key]) for key in SEPARATORS if key in theirs}
    if lists:
        words = [word for key, value in lists.items() for word in ("--conf", f"{key}={value}")]
        os.environ[SUBMIT_ARGS] = shlex.join([*words, *without_added(flags)])


def added(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """`ours`, with what `theirs` says of lists put before it; each part once. Another interpreter of theirs may lack
    this package, and its daemon then every Python function of the session: who has it there names the daemon too."""
    merged = {key: joined(theirs.get(key, ""), value, SEPARATORS.get(key)) for key, value in ours.items()}
    merged |= {key: theirs[key] for key in KEPT if key in ours and theirs.get(key)}
    if merged.get(PYTHON) != ours.get(PYTHON) and not theirs.get(DAEMON):
        merged.pop(DAEMON, None)
    return merged


def joined_options(ours: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both; lists of the same key one after the other."""
    return {**ours, **{key: joined(ours.get(key, ""), value, SEPARATORS.get(key)) for key, value in more.items()}}


def joined(before: str, ours: str, separator: str | None) -> str:
    if separator is None:
        return ours
    if separator == " ":  # a value may be quoted, with blanks in it
        return before if ours in before else f"{before} {ours}".strip()
    theirs, own = ([part.strip() for part in parts.split(separator)] for parts in (before, ours))
    if any(map(is_our_jar, own)):  # of two, Java takes the classes of the first
        theirs = [part for part in theirs if part in own or not is_our_jar(part)]
    return separator.join(dict.fromkeys(filter(None, [*theirs, *own])))


def is_our_jar(path: str) -> bool:
    """For this Spark or another."""
    return path.rpartition("/")[2].startswith("blip-udfs_")
