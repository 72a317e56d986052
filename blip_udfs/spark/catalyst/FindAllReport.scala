package org.apache.spark.sql.blip

import java.util.{Collections, WeakHashMap}

import org.apache.spark.internal.Logging
import org.apache.spark.sql.blip.shims.SparkSession

/**
 * What the sample proved.
 *
 * @param counts rows by bin
 * @param bound  the first bin whose rows are scored; None where all are
 */
case class Answer(
    counts: Seq[(Option[Int], Long)], labels: Seq[Label], bound: Option[Int], recall: Double, confidence: Double) {

  val rows: Long = counts.map(_._2).sum

  /** With those of the sample; copies of an image that has a label are not scored again. */
  val scored: Long = {
    val near = counts.collect { case (at, count) if isNear(at) => count }.sum
    labels.size + math.max(0L, near - labels.count(each => isNear(Some(each.bin))))
  }

  private def isNear(at: Option[Int]): Boolean = bound.forall(least => at.forall(_ >= least))

  def line: String = s"find all: of $rows rows ITM scores at most $scored, ${labels.size} of them for a sample; " + bound.fold(
    "it proves no bound, so that every row is scored") { least =>
    val similarity = "%.4f".formatLocal(java.util.Locale.ROOT, least.toDouble / Sampled.half - 1)
    s"of the others those with a similarity of $similarity or more, with which a share of at least $recall of all that the " +
      s"WHERE keeps is found, with a probability of $confidence"
  }
}

/** One line for each query, and the last one of a session. */
object FindAllReport extends Logging {
  private val last = Collections.synchronizedMap(new WeakHashMap[SparkSession, String])

  def apply(session: SparkSession, answer: Answer): Unit = {
    last.put(session, answer.line)
    logInfo(answer.line)
  }

  /** Null where no query of the session had a promise. */
  def lastOf(session: SparkSession): String = last.get(session)
}
