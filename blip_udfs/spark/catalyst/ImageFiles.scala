package org.apache.spark.sql.blip

import java.io.{ByteArrayOutputStream, FileNotFoundException, IOException}
import java.net.URI
import java.nio.ByteBuffer
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files => JFiles, Paths}
import java.util.concurrent.{Callable, ExecutionException, FutureTask, TimeUnit, TimeoutException}
import java.util.concurrent.atomic.AtomicReference

import scala.util.Try

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileStatus, FileSystem, FSDataInputStream, Path}
import org.apache.hadoop.security.AccessControlException

/**
 * Files by Spark's Hadoop file systems -> what a worker takes (`blip_udfs/files/carried.py`). What may not be read, or is
 * no regular file, goes to the worker as a path: it refuses by the same doors, and says why.
 */
class ImageFiles(hadoop: Configuration, everything: Boolean, doors: Doors) {
  private val longest = 4096

  def carried(source: String, asked: Boolean): Array[Byte] = {
    val (scheme, rest) = ImageFiles.split(source)
    val isLocal = ImageFiles.local.contains(scheme)
    if (source.length > longest || source.contains('\u0000') || isLocal && !everything) pass(source)
    else place(source, scheme, rest) match {
      case Some(path) =>
        val name = if (scheme.isEmpty && path.toUri.getScheme != "file") path.toString else source
        inTime(name, opened => described(name, path, asked, opened))
      case None => pass(source)
    }
  }

  /** Where Hadoop finds it, if it has a file system of that scheme and the file may be read. */
  private def place(source: String, scheme: String, rest: String): Option[Path] =
    if (scheme == "dbfs") {
      val mounted = if (rest.replaceFirst("^//", "").startsWith("/Volumes/")) rest else s"/dbfs$rest"
      doors.local(mounted).map(_ => new Path(source))
    } else if (ImageFiles.local.contains(scheme) && isFileSystem(source, scheme)) {
      val path = rest.replaceFirst("^//(localhost)?(?=/)", "")
      val there = if (JFiles.exists(Paths.get(path))) path else ImageFiles.decoded(path)
      doors.local(there).filter(each => JFiles.isRegularFile(Paths.get(each))).map(each => new Path(s"file:$each"))
    } else if (scheme.isEmpty) {
      val path = new Path(source)
      val qualified = path.getFileSystem(hadoop).makeQualified(path)
      if (doors.remote(qualified.toString)) Some(qualified) else None
    } else if (hasFileSystem(scheme) && doors.remote(source)) ImageFiles.path(source, scheme)
    else None

  private def isFileSystem(source: String, scheme: String): Boolean =
    scheme == "file" || FileSystem.getDefaultUri(hadoop).getScheme == "file"

  private def hasFileSystem(scheme: String): Boolean =
    Try(FileSystem.getFileSystemClass(scheme, hadoop)).isSuccess

  private def described(source: String, path: Path, asked: Boolean, opened: AtomicReference[AutoCloseable]): Array[Byte] = {
    val system = path.getFileSystem(hadoop)
    val status = system.getFileStatus(path)
    val most = doors.limit("BLIP_MAX_IMAGE_BYTES")
    if (status.isDirectory) failed(source, "expected a regular file, got a directory")
    else if (asked || status.getLen > most) ImageFiles.framed('S', source, ImageFiles.numbers(ImageFiles.modified(status), status.getLen))
    else {
      val stream = system.open(path)
      opened.set(stream)
      try ImageFiles.framed('B', source, bytes(stream, status.getLen, most)) finally stream.close()
    }
  }

  /** All of it, or one byte more than may be. Of a length that is known none is missing. */
  private def bytes(stream: FSDataInputStream, length: Long, most: Long): Array[Byte] = {
    val out = new ByteArrayOutputStream(if (length > 0) length.toInt else 1 << 16)
    val buffer = new Array[Byte](1 << 16)
    var count = 0
    while (count >= 0 && out.size <= most) {
      count = stream.read(buffer, 0, math.min(buffer.length.toLong, most + 1 - out.size).toInt.max(1))
      if (count > 0) out.write(buffer, 0, count)
    }
    if (out.size < length) throw new IOException(s"it ended after ${out.size} of $length bytes")
    out.toByteArray
  }

  /** A thread of its own: a connection that says nothing more cannot be interrupted, only left. */
  private def inTime(source: String, read: AtomicReference[AutoCloseable] => Array[Byte]): Array[Byte] = {
    val seconds = doors.limit("BLIP_IMAGE_SECONDS")
    val opened = new AtomicReference[AutoCloseable]()
    val task = new FutureTask[Array[Byte]](new Callable[Array[Byte]] {
      override def call(): Array[Byte] = tried(source, () => read(opened))
    })
    start(s"blip-file-$source", task)
    try { if (seconds == 0) task.get() else task.get(seconds, TimeUnit.SECONDS) } catch {
      case failure: ExecutionException => throw failure.getCause
      case _: TimeoutException =>
        failed(source, s"cannot be read: not done within BLIP_IMAGE_SECONDS = $seconds")
    } finally if (!task.isDone) {
      task.cancel(true)
      Option(opened.get).foreach(stream => start(s"blip-close-$source", () => Try(stream.close())))
    }
  }

  private def start(name: String, task: Runnable): Unit = {
    val thread = new Thread(task, name)
    thread.setDaemon(true)
    thread.start()
  }

  /** What fails on its way is tried again; what is not there, or not ours to read, is not. */
  private def tried(source: String, read: () => Array[Byte]): Array[Byte] = {
    def attempt(waits: List[Long]): Array[Byte] = try read() catch {
      case _: FileNotFoundException => failed(source, "no such file")
      case error: AccessControlException => failed(source, s"cannot be read: ${error.getMessage}")
      case error: IOException => waits match {
        case wait :: more =>
          Thread.sleep(wait)
          attempt(more)
        case Nil => failed(source, s"cannot be read, tried ${ImageFiles.waits.size + 1} times: ${ImageFiles.said(error)}")
      }
      case error @ (_: IllegalArgumentException | _: UnsupportedOperationException) =>
        failed(source, s"cannot be read: ${ImageFiles.said(error)}")
    }
    attempt(ImageFiles.waits)
  }

  private def pass(source: String): Array[Byte] = ImageFiles.framed('P', source, Array.emptyByteArray)
  private def failed(source: String, why: String): Array[Byte] = ImageFiles.framed('E', source, why.getBytes(UTF_8))
}

object ImageFiles {
  private[blip] val local = Set("", "file", "dbfs")
  private val waits = List(100L, 500L, 2000L) // milliseconds before the next try
  private lazy val magic = Manifest.carried.getBytes(UTF_8)

  /** s3a://bucket/key -> s3a, //bucket/key; /data/x.jpg -> "", /data/x.jpg. */
  private[blip] def split(source: String): (String, String) =
    "^([A-Za-z][A-Za-z0-9+.-]+):(?=/)".r.findFirstMatchIn(source)
      .fold(("", source))(found => (found.group(1).toLowerCase(java.util.Locale.ROOT), found.after.toString))

  /** Of http the URI, written as it is; of others the name is literal, as Spark's `path` column has it. */
  private def path(source: String, scheme: String): Option[Path] =
    if (scheme == "http" || scheme == "https") Try(new Path(new URI(source))).orElse(Try(new Path(source))).toOption
    else Try(new Path(source)).toOption

  private def decoded(path: String): String =
    Try(java.net.URLDecoder.decode(path.replace("+", "%2B"), UTF_8)).getOrElse(path)

  /** Microseconds; 0 where the storage does not say. */
  private def modified(status: FileStatus): Long = status.getModificationTime * 1000

  private def numbers(values: Long*): Array[Byte] = {
    val buffer = ByteBuffer.allocate(8 * values.size)
    values.foreach(value => buffer.putLong(value))
    buffer.array
  }

  private def said(error: Throwable): String = Option(error.getMessage).getOrElse(error.getClass.getSimpleName)

  private def framed(kind: Char, source: String, payload: Array[Byte]): Array[Byte] = {
    val name = source.getBytes(UTF_8)
    ByteBuffer.allocate(magic.length + 5 + name.length + payload.length)
      .put(magic).put(kind.toByte).putInt(name.length).put(name).put(payload).array
  }
}
