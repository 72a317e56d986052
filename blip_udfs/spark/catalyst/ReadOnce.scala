package org.apache.spark.sql.blip

import org.apache.hadoop.fs.Path

import org.apache.spark.sql.{AnalysisException, Column}
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Alias, Expression, ExpressionInfo}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project}
import org.apache.spark.sql.blip.shims.{DataFrame, Dataset, SparkSession}
import org.apache.spark.sql.execution.datasources.{HadoopFsRelation, LogicalRelation}
import org.apache.spark.sql.execution.datasources.binaryfile.BinaryFileFormat
import org.apache.spark.sql.functions.{col, lit, regexp_extract}

/** `read_once(root, split, image_bytes)` as a table function: the query of once.sql over Spark's own readers. */
object ReadOnce {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)

  val layout = "data/<sequence>/<camera>/<frame>.jpg"

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, passed => build(new Arguments(record, passed)))

  private def build(arguments: Arguments): LogicalPlan = {
    val spark = SparkSession.active
    val root = arguments.text("root", "the tree's folder")
    val split = arguments.constant("split").map(_.toString)
    split.filterNot(Manifest.splits.contains).foreach { name =>
      throw arguments.refused("split", s"one of ${Manifest.splits.mkString(", ")}", s"'$name'")
    }
    if (!exists(spark, new Path(root, "data"))) {
      throw arguments.refused("root", s"an ONCE tree, $layout", s"'$root', which has no folder data")
    }
    split.map(name => s"ImageSets/$name.txt").filterNot(list => exists(spark, new Path(root, list))).foreach { list =>
      throw arguments.refused("split", s"the list $root/$list", "no such file: the lists come with the dataset's " +
        "devkit, copy its ImageSets there")
    }
    rows(spark, root, split, arguments.constant("image_bytes").contains(true)).queryExecution.analyzed
  }

  private def exists(spark: SparkSession, path: Path): Boolean =
    path.getFileSystem(spark.sessionState.newHadoopConf()).exists(path)

  private def rows(spark: SparkSession, root: String, split: Option[String], bytes: Boolean): DataFrame = {
    val data = new Path(root, "data")
    val inputs = Map(
      "once_images" -> files(spark, new OnceImages(spark, data, Manifest.suffixes)),
      "once_records" -> withText(spark, files(spark, new OnceRecords(spark, data)), "place", "sequence_id"),
      "once_lists" -> lists(spark, root))
    val query = inputs.keys.foldLeft(Manifest.resource("once.sql")) { (text, name) =>
      text.replace(s"{${name.stripPrefix("once_")}}", name)
    }.replace("{image}", if (bytes) "content" else "path")
      .replace("{splits}", Manifest.splits.mkString("array('", "', '", "')"))
    val relations = inputs.map { case (name, frame) => name -> frame.logicalPlan }
    val plan = Template.filled(spark.sessionState.sqlParser.parsePlan(query), relations)
    val all = Dataset.ofRows(spark, plan)
    split.fold(all)(name => all.where(s"array_contains(splits, '$name')")).drop("splits")
  }

  private def files(spark: SparkSession, index: OnceFiles): DataFrame =
    Dataset.ofRows(spark, LogicalRelation(HadoopFsRelation(
      index, index.partitionSchema, BinaryFileFormat.schema, None, new BinaryFileFormat, Map.empty)(spark)))

  /** ImageSets/<name>.txt; no file, no rows: the images are kept. */
  private def lists(spark: SparkSession, root: String): DataFrame =
    existing(spark.read.format("binaryFile").option("recursiveFileLookup", true).option("pathGlobFilter", "*.txt")
      .load(s"${escaped(root)}/ImageSets"))
      .map(files => withText(spark, files.withColumn("name", name), "name").where("name <> ''"))
      .getOrElse(spark.range(0).select(lit("").as("name"), lit("").as("value")))

  private val name: Column = regexp_extract(col("path"), "/ImageSets/([^/]+)[.]txt$", 1)

  /** The columns, and `value`: what once_text makes of each file. */
  private def withText(spark: SparkSession, files: DataFrame, columns: String*): DataFrame = {
    val plan = files.queryExecution.analyzed
    val byName = plan.output.map(each => each.name -> each).toMap
    val text = ScalarFunction.plain(Manifest.withRole("once_text"), Seq(byName("path"), byName("content")))
    Dataset.ofRows(spark, Project(columns.map(byName) :+ Alias(text, "value")(), plan))
  }

  private def existing(read: => DataFrame): Option[DataFrame] =
    try Some(read)
    catch { case error: AnalysisException if Shims.condition(error) == "PATH_NOT_FOUND" => None }

  /** A path that Hadoop takes by the letter, not as a pattern. */
  private def escaped(path: String): String =
    path.flatMap(c => if ("{}[]*?\\".contains(c)) s"\\$c" else c.toString)
}
