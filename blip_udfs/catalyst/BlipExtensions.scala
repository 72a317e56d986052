package org.apache.spark.sql.blip

import org.apache.spark.sql.SparkSessionExtensions

/** `spark.sql.extensions`: only wires. Each part is its own file. */
class BlipExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit = {
    Manifest.scalars.foreach(record => extensions.injectFunction(ScalarFunction.description(record)))
    extensions.injectTableFunction(ReadOnce.description(Manifest.readOnce))
  }
}
