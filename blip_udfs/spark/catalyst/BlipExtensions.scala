package org.apache.spark.sql.blip

import org.slf4j.LoggerFactory

import org.apache.spark.SPARK_VERSION
import org.apache.spark.sql.{SparkSession, SparkSessionExtensions}

/** `spark.sql.extensions`: only wires. Each part is its own file. A Spark that the jar does not fit is left as it was. */
class BlipExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit =
    try problem match {
      case None => wire(extensions)
      case Some(why) => leave(why)
    } catch {
      case error: LinkageError => leave(String.valueOf(error.getMessage).concat(" is not there"))
      case error: Exception => leave(error.toString)
    }

  private def wire(extensions: SparkSessionExtensions): Unit = {
    val scalars = Manifest.scalars.map { record =>
      if (record.role.contains("similarity")) Similarity.description(record) else ScalarFunction.description(record)
    }
    val tables = Seq(ReadOnce.description(Manifest.withRole("once")), Search.description(Manifest.withRole("search")))
    scalars.foreach(extensions.injectFunction)
    tables.foreach(extensions.injectTableFunction)
    scalars.foreach(Shims.known)
    tables.foreach(Shims.knownTable)
    extensions.injectPostHocResolutionRule(_ => Pin)
    extensions.injectOptimizerRule(session => TextOnce(classic(session)))
    extensions.injectPreCBORule(session => FindAll(classic(session)))
    extensions.injectPlannerStrategy(_ => ProofStrategy)
    extensions.injectPreCBORule(session => Cascade(classic(session)))
    extensions.injectPreCBORule(_ => Together)
    extensions.injectPreCBORule(_ => SortOnce)
    extensions.injectPreCBORule(session => ByPath(classic(session)))
  }

  private def problem: Option[String] =
    if (!SPARK_VERSION.startsWith(Manifest.spark + ".")) Some(s"it is for Spark ${Manifest.spark}")
    else Links.missing.map(name => s"$name is not there")

  // Runs with another Scala's library too, so by Java's means alone: no closure, no interpolated string.
  private def leave(why: String): Unit = LoggerFactory.getLogger(classOf[BlipExtensions]).warn(
    "blip-udfs' jar does not fit this Spark, ".concat(SPARK_VERSION).concat(", whose session starts without it: ")
      .concat(why).concat("; name the jar that 'blip-udfs conf' prints beside this Spark"))

  private def classic(session: SparkSession): shims.SparkSession = session.asInstanceOf[shims.SparkSession]
}
