package org.apache.spark.sql.blip

import org.apache.hadoop.fs.Path

import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.classic.{DataFrame, Dataset, SparkSession}
import org.apache.spark.sql.execution.datasources.{FileFormat, HadoopFsRelation, LogicalRelation}
import org.apache.spark.sql.execution.datasources.binaryfile.BinaryFileFormat
import org.apache.spark.sql.execution.datasources.text.TextFileFormat
import org.apache.spark.sql.functions.{col, lit}
import org.apache.spark.sql.types.{StringType, StructField, StructType}

/** `read_once(root, split, image_bytes)` as a table function: the query of once.sql over Spark's own readers. */
object ReadOnce {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)

  private val splits = Seq("train", "val", "test", "raw_small", "raw_medium", "raw_large")
  private val images = ".*[.](jpg|jpeg|png)"
  private val binary = BinaryFileFormat.schema
  private val text = StructType(Seq(StructField("value", StringType)))

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, passed => build(new Arguments(record, passed)))

  private def build(arguments: Arguments): LogicalPlan = {
    val root = arguments.text("root", "the tree's folder")
    val split = arguments.constant("split").map(_.toString)
    split.filterNot(splits.contains).foreach { name =>
      throw arguments.refused("split", s"one of ${splits.mkString(", ")}", s"'$name'")
    }
    val bytes = arguments.constant("image_bytes").contains(true)
    rows(SparkSession.active, arguments, root, split, bytes).queryExecution.analyzed
  }

  private def rows(
      spark: SparkSession, arguments: Arguments, root: String, split: Option[String], bytes: Boolean): DataFrame = {
    val data = new Path(root, "data")
    if (!data.getFileSystem(spark.sessionState.newHadoopConf()).exists(data)) {
      throw arguments.refused(
        "root", "an ONCE tree, data/<sequence>/<camera>/<frame>.jpg", s"'$root', which has no folder data")
    }
    val inputs = Map(
      "once_images" -> files(spark, new OnceImages(spark, data, images), new BinaryFileFormat, binary, Map.empty),
      "once_records" ->
        files(spark, new OnceRecords(spark, data), new TextFileFormat, text, Map("wholetext" -> "true")),
      "once_splits" -> lines(spark, root, "*.txt"),
      "once_regions" -> lines(spark, root, "region_type.txt").select("value"))
    val query = inputs.keys.foldLeft(Manifest.resource("once.sql")) { (text, name) =>
      text.replace(s"{${name.stripPrefix("once_")}}", name)
    }.replace("{image}", if (bytes) "content" else "path")
    val relations = inputs.map { case (name, frame) => name -> frame.logicalPlan }
    val plan = Template.filled(spark.sessionState.sqlParser.parsePlan(query), relations)
    val all = Dataset.ofRows(spark, plan)
    split.fold(all)(name => all.where(s"array_contains(splits, '$name')")).drop("splits")
  }

  private def files(
      spark: SparkSession, index: OnceFiles, format: FileFormat, schema: StructType, options: Map[String, String]): DataFrame =
    Dataset.ofRows(spark, LogicalRelation(
      HadoopFsRelation(index, index.partitionSchema, schema, None, format, options)(spark)))

  /** Lines of the files in ImageSets that match; no file, no rows: the images are kept. */
  private def lines(spark: SparkSession, root: String, glob: String): DataFrame =
    existing(spark.read.option("pathGlobFilter", glob).text(s"${escaped(root)}/ImageSets")
      .select(col("_metadata.file_path").as("path"), col("value")))
      .getOrElse(spark.range(0).select(lit("").as("path"), lit("").as("value")))

  private def existing(read: => DataFrame): Option[DataFrame] =
    try Some(read)
    catch { case error: AnalysisException if error.getCondition == "PATH_NOT_FOUND" => None }

  /** A path that Hadoop takes by the letter, not as a pattern. */
  private def escaped(path: String): String =
    path.flatMap(c => if ("{}[]*?".contains(c)) s"\\$c" else c.toString)
}
