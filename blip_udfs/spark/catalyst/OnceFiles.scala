package org.apache.spark.sql.blip

import java.util.Locale

import org.apache.hadoop.fs.{FileStatus, FileSystem, Path, PathFilter}

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{And, AttributeReference, BoundReference, Expression, Predicate}
import org.apache.spark.sql.blip.shims.SparkSession
import org.apache.spark.sql.execution.datasources.{FileIndex, FileStatusWithMetadata, InMemoryFileIndex, PartitionDirectory}
import org.apache.spark.sql.types.{StringType, StructField, StructType}
import org.apache.spark.unsafe.types.UTF8String

/**
 * The files of an ONCE tree's data folder as partitions: nothing is listed before a query runs, and then only the
 * sequences that its filters leave. An archive may be unpacked one folder too deep: data/data/<sequence> is one too.
 */
abstract class OnceFiles(spark: SparkSession, data: Path, columns: Seq[String]) extends FileIndex {
  override val rootPaths: Seq[Path] = Seq(data)
  override val partitionSchema: StructType = StructType(columns.map(StructField(_, StringType)))
  override def sizeInBytes: Long = spark.sessionState.conf.defaultSizeInBytes
  override def refresh(): Unit = ()
  override def inputFiles: Array[String] = listFiles(Nil, Nil).flatMap(_.files.map(_.getPath.toString)).toArray

  /** Two of the same tree are one relation, so that a cached query answers another, as Spark's own index has it. */
  override def equals(other: Any): Boolean = other match {
    case files: OnceFiles => files.getClass == getClass && files.rootPaths == rootPaths
    case _ => false
  }
  override def hashCode: Int = rootPaths.hashCode

  override def listFiles(partitionFilters: Seq[Expression], dataFilters: Seq[Expression]): Seq[PartitionDirectory] = {
    val ofSequence = partitionFilters.filter(_.references.forall(each => columns.take(2).contains(each.name)))
    val wanted = sequences.filter(each => passes(ofSequence, each.values))
    partitions(wanted, wanted.size == sequences.size).collect {
      case (values, files) if passes(partitionFilters, values) =>
        PartitionDirectory(row(values), files.map(FileStatusWithMetadata(_)))
    }
  }

  /** The files of these sequences by their values of the partition columns; `all`: no sequence was left out. */
  protected def partitions(sequences: Seq[Sequence], all: Boolean): Seq[(Seq[String], Seq[FileStatus])]

  private def sequences: Seq[Sequence] = {
    val first = folders(data).map(Sequence(_, data.getName))
    first ++ first.find(_.folder.getName == data.getName).toSeq.flatMap { doubled =>
      folders(doubled.folder).map(Sequence(_, s"${data.getName}/${data.getName}"))
    }
  }

  private def folders(path: Path): Seq[Path] = fileSystem.listStatus(path).toSeq.filter(_.isDirectory).map(_.getPath).filterNot(OnceFiles.isHidden)

  // asked for each sequence: its configuration is copied once
  @transient protected lazy val fileSystem: FileSystem = data.getFileSystem(spark.sessionState.newHadoopConf())

  private def row(values: Seq[String]): InternalRow = InternalRow.fromSeq(values.map(UTF8String.fromString))

  private def passes(filters: Seq[Expression], values: Seq[String]): Boolean = filters.reduceOption(And).forall { all =>
    val bound = all.transform {
      case name: AttributeReference => BoundReference(columns.indexOf(name.name), StringType, nullable = true)
    }
    Predicate.createInterpreted(bound).eval(row(values))
  }
}

object OnceFiles {
  /** As Spark's own readers have it. */
  def isHidden(path: Path): Boolean = path.getName.startsWith(".") || path.getName.startsWith("_")
}

/** The folder of a sequence, in data or data/data. */
case class Sequence(folder: Path, parent: String) {
  def name: String = folder.getName
  def values: Seq[String] = Seq(s"$parent/$name", name)
}

/** data/<sequence>/<camera>/<frame>.jpg; many folders are listed by Spark's executors. */
class OnceImages(spark: SparkSession, data: Path, suffixes: Seq[String])
    extends OnceFiles(spark, data, Seq("place", "sequence_id", "camera")) {
  override protected def partitions(sequences: Seq[Sequence], all: Boolean): Seq[(Seq[String], Seq[FileStatus])] = {
    val named = new Named(suffixes)
    val hadoopConf = spark.sessionState.newHadoopConf()
    // in parts: what one job gives the driver, 250 bytes a file, has a limit (spark.driver.maxResultSize, 1 GB)
    val listed = sequences.grouped(OnceImages.atOnce).flatMap { some =>
      val byFolder = some.map(each => each.folder -> each).toMap
      InMemoryFileIndex.bulkListLeafFiles(some.map(_.folder), hadoopConf, named, spark)
        .map { case (folder, files) => byFolder(folder) -> files }
    }.toSeq
    val found = listed.flatMap { case (sequence, files) =>
      val inCameras = files.filter(_.getPath.getParent.getParent.getName == sequence.name)
        .filter(_.getPath.depth == sequence.folder.depth + 2)
        .filterNot(file => OnceFiles.isHidden(file.getPath) || OnceFiles.isHidden(file.getPath.getParent))
      inCameras.groupBy(_.getPath.getParent.getName).toSeq.sortBy(_._1)
        .map { case (camera, own) => (sequence.values :+ camera, own) }
    }
    if (all && found.isEmpty) listed.flatMap(_._2).find(_.getPath.depth > data.depth + 3).foreach { deep =>
      throw new IllegalArgumentException(s"read_once: root: no image lies where one is expected, ${ReadOnce.layout}, " +
        s"but deeper, as ${deep.getPath}: move the folders, or name another root")
    }
    found
  }
}

object OnceImages {
  private val atOnce = 64 // sequences, of 12,000 images each in ONCE: 0.2 GB
}

/** Files whose name, in small letters, ends in one of these; it goes to the executors that list many folders. */
private class Named(suffixes: Seq[String]) extends PathFilter with Serializable {
  override def accept(path: Path): Boolean = {
    val name = path.getName.toLowerCase(Locale.ROOT)
    suffixes.exists(suffix => name.endsWith(s".$suffix"))
  }
}

/** data/<sequence>/<sequence>.json, in letters of any case. */
class OnceRecords(spark: SparkSession, data: Path) extends OnceFiles(spark, data, Seq("place", "sequence_id")) {
  override protected def partitions(sequences: Seq[Sequence], all: Boolean): Seq[(Seq[String], Seq[FileStatus])] =
    sequences.flatMap { sequence =>
      val files = fileSystem.listStatus(sequence.folder).toSeq.filter(file => file.isFile && isRecord(file, sequence))
      files.sortBy(_.getPath.getName).headOption.map(file => (sequence.values, Seq(file)))
    }

  private def isRecord(file: FileStatus, sequence: Sequence): Boolean = {
    val (stem, suffix) = file.getPath.getName.splitAt(sequence.name.length)
    stem == sequence.name && suffix.toLowerCase(Locale.ROOT) == ".json"
  }
}
