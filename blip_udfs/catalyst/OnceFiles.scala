package org.apache.spark.sql.blip

import java.util.Locale

import org.apache.hadoop.fs.{FileStatus, FileSystem, Path, PathFilter}

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{And, AttributeReference, BoundReference, Expression, Predicate}
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.execution.datasources.{FileIndex, FileStatusWithMetadata, InMemoryFileIndex, PartitionDirectory}
import org.apache.spark.sql.types.{StringType, StructField, StructType}
import org.apache.spark.unsafe.types.UTF8String

/**
 * The files of an ONCE tree's data folder as partitions: nothing is listed before a query runs, and then only the
 * sequences that its filters leave.
 */
abstract class OnceFiles(spark: SparkSession, data: Path, columns: Seq[String]) extends FileIndex {
  override val rootPaths: Seq[Path] = Seq(data)
  override val partitionSchema: StructType = StructType(columns.map(StructField(_, StringType)))
  override def sizeInBytes: Long = spark.sessionState.conf.defaultSizeInBytes
  override def refresh(): Unit = ()
  override def inputFiles: Array[String] = listFiles(Nil, Nil).flatMap(_.files.map(_.getPath.toString)).toArray

  override def listFiles(partitionFilters: Seq[Expression], dataFilters: Seq[Expression]): Seq[PartitionDirectory] = {
    val bySequence = partitionFilters.filter(_.references.forall(_.name == columns.head))
    val sequences = fileSystem.listStatus(data).toSeq.filter(_.isDirectory).map(_.getPath)
      .filter(folder => passes(bySequence, Seq(folder.getName)))
    partitions(sequences).collect {
      case (values, files) if passes(partitionFilters, values) =>
        PartitionDirectory(row(values), files.map(FileStatusWithMetadata(_)))
    }
  }

  /** The files of these sequences by their values of the partition columns. */
  protected def partitions(sequences: Seq[Path]): Seq[(Seq[String], Seq[FileStatus])]

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

/** data/<sequence>/<camera>/<frame>.jpg; many folders are listed by Spark's executors. */
class OnceImages(spark: SparkSession, data: Path, pattern: String)
    extends OnceFiles(spark, data, Seq("sequence_id", "camera")) {
  override protected def partitions(sequences: Seq[Path]): Seq[(Seq[String], Seq[FileStatus])] = {
    val named = new Named(pattern)
    val hadoopConf = spark.sessionState.newHadoopConf()
    // in parts: what one job gives the driver, 250 bytes a file, has a limit (spark.driver.maxResultSize, 1 GB)
    val listed = sequences.grouped(OnceImages.atOnce).flatMap { some =>
      InMemoryFileIndex.bulkListLeafFiles(some, hadoopConf, named, spark)
    }
    listed.toSeq.flatMap { case (sequence, files) =>
      val inCameras = files.filter(_.getPath.getParent.getParent.getName == sequence.getName)
      inCameras.groupBy(_.getPath.getParent.getName).toSeq.sortBy(_._1)
        .map { case (camera, own) => (Seq(sequence.getName, camera), own) }
    }
  }
}

object OnceImages {
  private val atOnce = 64 // sequences, of 12,000 images each in ONCE: 0.2 GB
}

/** Files whose name, in small letters, matches; it goes to the executors that list many folders. */
private class Named(pattern: String) extends PathFilter with Serializable {
  override def accept(path: Path): Boolean = path.getName.toLowerCase(Locale.ROOT).matches(pattern)
}

/** data/<sequence>/<sequence>.json */
class OnceRecords(spark: SparkSession, data: Path) extends OnceFiles(spark, data, Seq("sequence_id")) {
  override protected def partitions(sequences: Seq[Path]): Seq[(Seq[String], Seq[FileStatus])] =
    sequences.map(sequence => new Path(sequence, s"${sequence.getName}.json")).filter(fileSystem.exists)
      .map(file => (Seq(file.getParent.getName), Seq(fileSystem.getFileStatus(file))))
}
