package org.apache.spark.sql.blip

import java.util.{Collections, Locale, WeakHashMap}

import org.apache.spark.internal.Logging
import org.apache.spark.sql.blip.shims.SparkSession
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.PythonUDF
import org.apache.spark.sql.catalyst.util.GenericArrayData

/**
 * What the samples prove.
 *
 * @param labels by key
 * @param bound  the first bin whose rows are scored; None where all are
 */
case class Answer(counts: Counts, labels: Seq[Label], bound: Option[Int], call: PythonUDF) {
  val rows: Long = counts.single.map(_._2).sum + counts.none

  /** By ITM in all, those of the samples among them. */
  val scored: Long = {
    val least = bound.getOrElse(0)
    labels.size + counts.single.filter(_._1 >= least).map(_._2).sum - labels.count(_.bin >= least) + counts.none
  }

  /** As `Sampled.kind` says. */
  def row: InternalRow = InternalRow(
    bound.orNull, new GenericArrayData(counts.doubles.toArray), new GenericArrayData(labels.map(_.key).toArray),
    new GenericArrayData(labels.map(_.score).toArray[Any]))

  def line: String = {
    val what = bound.fold("no bound is proven, so that every row is scored") { least =>
      val similarity = "%.4f".formatLocal(Locale.ROOT, least / (Manifest.bins / 2).toDouble - 1)
      s"those of a similarity of $similarity and more: a share of ${Settings.recall(call)} of the matches, with a " +
        s"probability of ${Settings.confidence(call)}"
    }
    s"find all: $rows rows, ${labels.size} in the samples, $scored to be scored in all, $what"
  }
}

/** A line for each WHERE with a promise, as a warning, for it gives fewer rows than without one; and a session's last. */
object FindAllReport extends Logging {
  private val last = Collections.synchronizedMap(new WeakHashMap[SparkSession, String])

  def apply(session: SparkSession, answer: Answer): Unit = {
    last.put(session, answer.line)
    logWarning(answer.line)
  }

  /** Null where no query of the session had a promise. */
  def lastOf(session: SparkSession): String = last.get(session)
}
