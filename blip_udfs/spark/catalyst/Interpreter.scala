package org.apache.spark.sql.blip

import java.nio.file.{Files, Paths}
import java.util.{HashMap => JHashMap, Map => JMap}
import java.util.concurrent.ConcurrentHashMap

import scala.sys.process.{Process, ProcessLogger}

import org.apache.spark.SparkException
import org.apache.spark.sql.blip.shims.SparkSession

/** The workers' Python: where it is, and its version, which Spark compares with the worker's own. */
case class Interpreter(path: String, version: String)

object Interpreter {
  private val known = new ConcurrentHashMap[String, Interpreter]()
  private val question = "import sys, blip_udfs; print('%d.%d' % sys.version_info[:2])"

  /** As Spark chooses it for workers: the configuration's before the environment's; a driver's own is none of theirs. */
  def ofSession: Interpreter = {
    val conf = SparkSession.active.sparkContext.getConf
    val path = conf.getOption("spark.pyspark.python").orElse(sys.env.get("PYSPARK_PYTHON")).getOrElse("python3")
    known.computeIfAbsent(path, path => answer(path, if (isHere(path)) ask(path) else askWorkers(path)))
  }

  /** As pyspark gives its own functions: spark.executorEnv reaches local mode too, and all share one pool of workers. */
  def environment: JMap[String, String] = {
    val variables = new JHashMap[String, String]()
    SparkSession.active.sparkContext.getConf.getExecutorEnv.foreach { case (name, value) => variables.put(name, value) }
    variables.put("PYTHONHASHSEED", sys.env.getOrElse("PYTHONHASHSEED", "0"))
    variables
  }

  /** An archived environment, `--archives env.tar.gz#environment`, is unpacked where executors work and nowhere else. */
  private def isHere(path: String): Boolean =
    !path.contains("/") || Paths.get(path).isAbsolute && Files.isExecutable(Paths.get(path))

  private def askWorkers(path: String): Either[String, String] =
    SparkSession.active.sparkContext.parallelize(Seq(path), 1).map(ask).first()

  /** The version, or what went wrong; asked once. */
  private def ask(path: String): Either[String, String] = {
    var lastLine = ""
    try Right(Process(Seq(path, "-c", question)).!!(ProcessLogger(_ => (), line => lastLine = line)).trim)
    catch { case failure: Exception => Left(if (lastLine.isEmpty) failure.getMessage else lastLine) }
  }

  private def answer(path: String, said: Either[String, String]): Interpreter = said match {
    case Right(version) => Interpreter(path, version)
    case Left(why) => throw new SparkException(
      s"The workers' Python, $path, cannot import blip_udfs: $why. Install it there with " +
        s"'$path -m pip install blip-udfs', or name another interpreter with --conf spark.pyspark.python=...")
  }
}
