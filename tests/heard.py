"""What a class of the extension writes to the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession


@contextmanager
def heard(spark: SparkSession, name: str = "org.apache.spark.sql.blip.Cascade") -> Iterator[Callable[[], list[str]]]:
    """Gives the lines so far, warnings and worse."""
    log, text = spark._jvm.org.apache.logging.log4j, spark._jvm.java.io.StringWriter()
    appender = log.core.appender.WriterAppender.createAppender(None, None, text, "heard", False, True)
    appender.start()
    log.core.config.Configurator.setLevel(name, log.Level.WARN)
    logger = log.LogManager.getLogger(name)
    logger.addAppender(appender)
    try:
        yield lambda: text.toString().splitlines()
    finally:
        logger.removeAppender(appender)
        log.core.config.Configurator.setLevel(name, log.Level.ERROR)
