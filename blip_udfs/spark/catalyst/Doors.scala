package org.apache.spark.sql.blip

import java.nio.file.{Files => JFiles, Path => JPath, Paths}

import scala.util.Try

import org.apache.spark.SparkEnv

/** What an administrator decides, as `blip_udfs/files/doors.py` reads it: which files may be read, and how large. */
class Doors(variable: String => Option[String]) {
  def limit(name: String): Long = {
    val text = variable(name).filter(_.nonEmpty)
    text.fold(Manifest.limits(name)) { value =>
      Try(value.toLong).filter(_ >= 0).getOrElse(throw new IllegalArgumentException(
        s"$name = '$value': expected a whole number; unset it for the default"))
    }
  }

  private def roots: Option[Seq[String]] = variable("BLIP_READ_ROOTS").map { text =>
    val end = java.io.File.pathSeparator
    val uri = s"[A-Za-z][\\w+.-]*://(?:\\[[^\\]]*\\]|[^/$end]*)(?::\\d+)?[^$end]*" // its host may have a port
    s"$uri|[^$end]+".r.findAllIn(text).map(_.stripPrefix("file://")).toSeq
  }

  /** A local file's resolved path, if it may be read. */
  def local(path: String): Option[String] = {
    val resolved = Doors.resolved(Paths.get(path).toAbsolutePath)
    val inside = roots.forall(_.filterNot(_.contains("://")).exists { root =>
      resolved.startsWith(Doors.resolved(Paths.get(root).toAbsolutePath))
    })
    if (inside) Some(resolved.toString) else None
  }

  /** Whether a URI may be read: below one of the roots, without any .. to leave it by, however that is written. */
  def remote(uri: String): Boolean = roots.forall { allowed =>
    !Doors.decoded(uri).split("/").contains("..") &&
      allowed.exists(root => root.contains("://") && Doors.canonical(uri).startsWith(Doors.canonical(root).stripSuffix("/") + "/"))
  }
}

object Doors {
  def of(variables: java.util.Map[String, String]): Doors = new Doors(name => Option(variables.get(name)))

  /** The environment that the executor's workers have. */
  def ofExecutor: Doors = {
    val own = Option(SparkEnv.get).fold(Map.empty[String, String])(_.conf.getExecutorEnv.toMap)
    new Doors(name => own.get(name).orElse(Option(System.getenv(name))))
  }

  /** The dots and slashes of a URI as the last of any number of servers that decode it would read them. */
  @scala.annotation.tailrec
  private def decoded(uri: String): String = {
    val plain = uri.replace("%25", "%").replaceAll("(?i)%2e", ".").replaceAll("(?i)%2f|%5c|\\\\", "/")
    if (plain == uri) uri else decoded(plain)
  }

  /** Arrow's s3 is Hadoop's s3a. */
  private def canonical(uri: String): String = {
    val (scheme, rest) = ImageFiles.split(uri)
    s"${if (Set("s3a", "s3n").contains(scheme)) "s3" else scheme}:$rest"
  }

  /** Without links and .., as far as it exists. */
  private def resolved(path: JPath): JPath =
    if (JFiles.exists(path)) path.toRealPath()
    else Option(path.getParent).fold(path)(parent => resolved(parent).resolve(path.getFileName).normalize())
}
