package org.apache.spark.sql.blip

import java.util.Locale

import scala.util.Try

import org.json4s.{DefaultFormats, Formats}
import org.json4s.jackson.JsonMethods.parse
import org.json4s.jackson.Serialization.write

import org.apache.spark.sql.catalyst.expressions.PythonUDF
import org.apache.spark.sql.blip.shims.SparkSession

/** `spark.blip.*` as JSON, key -> value, without what is the default: what of a session's settings a call carries. */
object Settings {
  private implicit val formats: Formats = DefaultFormats
  private[blip] val candidatesKey = "spark.blip.search.candidates"
  private[blip] val warnRowsKey = "spark.blip.itm.warnRows"
  private[blip] val recallKey = "spark.blip.filter.recall"
  private[blip] val confidenceKey = "spark.blip.filter.confidence"
  private val readKey = "spark.blip.read"
  private[blip] val columnKey = "spark.blip.search.embeddingColumn"

  /** Those of the session that analyzes a query: not SQLConf's, for Spark analyzes a view without the session's own. */
  def ofSession(record: Manifest.Record): String = ofSession(record.role.exists(Set("itm_score", "itm_logit")))

  def ofSession(ranks: Boolean): String = {
    val conf = SparkSession.active.sessionState.conf
    val defaults = if (ranks) Manifest.settings ++ Manifest.ranking else Manifest.settings
    val chosen = defaults.toSeq.sorted.flatMap { case (key, default) =>
      Option(conf.getConfString(key, default)).map(_.trim).filter(_ != default).map(key -> _)
    }.toMap
    if (ranks) {
      checked(chosen.getOrElse(candidatesKey, Manifest.ranking(candidatesKey)))
      Seq(recallKey, confidenceKey).foreach(share(_, chosen))
    }
    write(scala.collection.immutable.TreeMap(chosen.toSeq: _*).toMap)
  }

  /** Those of a call that all functions have, for another call beside it. */
  def shared(call: PythonUDF): String =
    write(read(call).filter { case (key, _) => Manifest.settings.contains(key) })

  def candidates(call: PythonUDF): Int = checked(read(call).getOrElse(candidatesKey, Manifest.ranking(candidatesKey)))

  /** Of the rows that a WHERE would keep the share that it must, and how sure that is. */
  def recall(call: PythonUDF): Double = share(recallKey, read(call))
  def confidence(call: PythonUDF): Double = share(confidenceKey, read(call))

  /** Who reads an image that a call names by path. */
  def reader(call: PythonUDF): String = read(call).getOrElse(readKey, Manifest.settings(readKey)).toLowerCase(Locale.ROOT)

  def embeddingColumn(call: PythonUDF): String = read(call).getOrElse(columnKey, Manifest.ranking(columnKey))

  private def read(call: PythonUDF): Map[String, String] = parse(Command.settings(call)).extract[Map[String, String]]

  /** No part of a plan: it changes no answer. */
  def warnRows(session: SparkSession): Long = {
    val default = Manifest.watching(warnRowsKey)
    val text = session.sessionState.conf.getConfString(warnRowsKey, default).trim
    Try(text.toLong).toOption.filter(_ >= 0).getOrElse(throw new IllegalArgumentException(
      s"$warnRowsKey = '$text': expected a whole number of rows, 0 for no warning; SET $warnRowsKey = $default mends it"))
  }

  private def checked(text: String): Int = Try(text.toInt).toOption.filter(_ >= 0).getOrElse(
    throw new IllegalArgumentException(
      s"$candidatesKey = '$text': expected a whole number of rows, 0 for all; SET $candidatesKey = 0 mends it"))

  private def share(key: String, chosen: Map[String, String]): Double = {
    val (text, default) = (chosen.getOrElse(key, Manifest.ranking(key)), Manifest.ranking(key))
    val most = if (key == recallKey) (_: Double) <= 1 else (_: Double) < 1
    Try(text.toDouble).toOption.filter(share => share > 0 && most(share)).getOrElse(throw new IllegalArgumentException(
      s"$key = '$text': expected a share above 0${if (key == recallKey) ", 1 for all rows" else " and below 1"}; " +
        s"SET $key = $default mends it"))
  }
}
