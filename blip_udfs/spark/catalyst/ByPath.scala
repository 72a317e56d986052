package org.apache.spark.sql.blip

import org.apache.spark.broadcast.Broadcast
import org.apache.spark.internal.Logging
import org.apache.spark.internal.config.ConfigEntry
import org.apache.spark.sql.Column
import org.apache.spark.sql.blip.shims.SparkSession
import org.apache.spark.sql.catalyst.analysis.UnresolvedAttribute
import org.apache.spark.sql.catalyst.expressions.PythonUDF
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.types.StringType
import org.apache.spark.util.SerializableConfiguration

/**
 * Images named by path, under `spark.blip.read` = auto or spark: what Spark can read and a worker cannot, or may not,
 * is read below the call. The last of our rules, for the others know an image by its column.
 */
case class ByPath(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!Cascade.has(plan, named) || !ByPath.isBounded(session)) plan
    else {
      val hadoop = ByPath.hadoop(session)
      plan.transformAllExpressions { case call: PythonUDF if named(call) =>
        val read = ReadFile(call.children.head, ByPath.reader(call) == "spark", asked = false, hadoop)
        call.withNewChildren(read +: call.children.tail)
      }
    }

  private def named(expression: org.apache.spark.sql.catalyst.expressions.Expression): Boolean = expression match {
    case call: PythonUDF =>
      ByPath.takesImage(call) && call.children.head.dataType.isInstanceOf[StringType] &&
        Set("auto", "spark").contains(ByPath.reader(call))
    case _ => false
  }
}

object ByPath extends Logging {
  private val records = "spark.sql.execution.arrow.maxRecordsPerBatch"
  private val bytes = "spark.sql.execution.arrow.maxBytesPerBatch"
  private val mostRecords = 256
  private val mostBytes = 256L << 20

  private def takesImage(call: PythonUDF): Boolean =
    Command.name(call).flatMap(name => Manifest.records.find(_.name == name)) // also what other rules have made of calls
      .exists(_.parameters.headOption.exists(_.name == "image"))

  private def reader(call: PythonUDF): String = Settings.reader(call)

  private def hadoop(session: SparkSession): Broadcast[SerializableConfiguration] =
    session.sparkContext.broadcast(new SerializableConfiguration(session.sessionState.newHadoopConf()))

  /** Whether a batch for the workers has an end before memory has: Spark 3.5 counts rows alone. */
  def isBounded(session: SparkSession): Boolean = {
    val conf = session.sessionState.conf
    val ofRows = conf.arrowMaxRecordsPerBatch
    val bounded = ofRows > 0 && ofRows <= mostRecords || Option(ConfigEntry.findEntry(bytes)).exists { _ =>
      org.apache.spark.network.util.JavaUtils.byteStringAsBytes(conf.getConfString(bytes)) <= mostBytes
    }
    if (!bounded) logWarning(
      s"images named by path are read by the workers, not by Spark: expected $records = $mostRecords or less, it is " +
        s"$ofRows; SET $records = $mostRecords")
    bounded
  }

  /** A column of paths as the embedding job's own functions take it; `asked`: see ReadFile. */
  def column(session: SparkSession, name: String, reader: String, asked: Boolean): Column = Shims.column(
    ReadFile(UnresolvedAttribute.quoted(name), reader == "spark", asked, hadoop(session)))
}
