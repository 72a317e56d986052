package org.apache.spark.sql.blip

import java.util.concurrent.ConcurrentHashMap

import scala.sys.process.{Process, ProcessLogger}

import org.apache.spark.SparkException
import org.apache.spark.sql.classic.SparkSession

/** The workers' Python: where it is, and its version, which Spark compares with the worker's own. */
case class Interpreter(path: String, version: String)

object Interpreter {
  private val known = new ConcurrentHashMap[String, Interpreter]()
  private val question = "import sys, blip_udfs; print('%d.%d' % sys.version_info[:2])"

  /** The interpreter that the session's configuration names, then the environment's; asked once. */
  def ofSession: Interpreter = {
    val conf = SparkSession.active.sparkContext.getConf
    val path = conf.getOption("spark.pyspark.python")
      .orElse(conf.getOption("spark.pyspark.driver.python"))
      .orElse(sys.env.get("PYSPARK_PYTHON"))
      .orElse(sys.env.get("PYSPARK_DRIVER_PYTHON"))
      .getOrElse("python3")
    known.computeIfAbsent(path, ask)
  }

  private def ask(path: String): Interpreter = {
    var lastLine = ""
    val answer =
      try Process(Seq(path, "-c", question)).!!(ProcessLogger(_ => (), line => lastLine = line)).trim
      catch { case failure: Exception => throw unusable(path, if (lastLine.isEmpty) failure.getMessage else lastLine) }
    Interpreter(path, answer)
  }

  private def unusable(path: String, why: String): SparkException = new SparkException(
    s"The workers' Python, $path, cannot import blip_udfs: $why. Install it there with " +
      s"'$path -m pip install blip-udfs', or name another interpreter with --conf spark.pyspark.python=...")
}
