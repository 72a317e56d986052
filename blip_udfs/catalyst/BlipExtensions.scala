package org.apache.spark.sql.blip

import org.apache.spark.SPARK_VERSION
import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}
import org.apache.spark.sql.classic.{SparkSession => ClassicSession}

/** `spark.sql.extensions`: only wires. Each part is its own file. */
class BlipExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit = {
    require(Manifest.sparkVersion == SPARK_VERSION,
      s"blip-udfs' jar was built for Spark ${Manifest.sparkVersion}, this is Spark $SPARK_VERSION: build one for it with " +
        s"'python -m blip_udfs.catalyst.build' beside pyspark $SPARK_VERSION")
    Manifest.scalars.foreach(record => extensions.injectFunction(ScalarFunction.description(record)))
    extensions.injectTableFunction(ReadOnce.description(Manifest.withRole("once")))
    extensions.injectTableFunction(Search.description(Manifest.withRole("search")))
    extensions.injectOptimizerRule(session => TextOnce(classic(session)))
    extensions.injectPreCBORule(session => Cascade(classic(session)))
    extensions.injectPreCBORule(_ => Together)
  }

  private def classic(session: SparkSession): ClassicSession = session.asInstanceOf[ClassicSession]
}
