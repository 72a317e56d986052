"""Arrow batches, a session -> SQL functions."""

from blip_udfs.spark.found import find_pyspark

find_pyspark()
