"""The SQL functions for DataFrame code, of the same names.

    from blip_udfs import functions as BF
    df.withColumn("score", BF.blip_itm("image", "a car driving on an intersection"))

An `image` argument is a Column or a column's name. A `text` beside an image is a Column or the sentence itself; alone,
as in blip_text_embed, it is a Column or a column's name.
"""

from blip_udfs.spark.catalog import CATALOG

__all__ = [function.name for function in CATALOG if function.kind == "scalar"]
globals().update({function.name: function.for_columns() for function in CATALOG if function.kind == "scalar"})
