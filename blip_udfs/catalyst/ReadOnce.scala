package org.apache.spark.sql.blip

import scala.util.Try

import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo, NamedArgumentExpression}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, UnresolvedWith}
import org.apache.spark.sql.classic.{DataFrame, Dataset, SparkSession}
import org.apache.spark.sql.errors.QueryCompilationErrors
import org.apache.spark.sql.functions.{col, lit}

/** `read_once(root, split, image_bytes)` as a table function: the query of once.sql over Spark's own readers. */
object ReadOnce {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)

  private val splits = Seq("train", "val", "test", "raw_small", "raw_medium", "raw_large")
  private val images = "*.{jpg,jpeg,png,JPG,JPEG,PNG}"

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, arguments => build(record, arguments))

  private def build(record: Manifest.Record, arguments: Seq[Expression]): LogicalPlan = {
    val bound = bind(record, arguments)
    val root = bound.get("root").map(_.toString).getOrElse(throw refused("root", "the tree's folder", "NULL"))
    val split = bound.get("split").map(_.toString)
    split.filterNot(splits.contains).foreach(name => throw refused("split", s"one of ${splits.mkString(", ")}", s"'$name'"))
    val bytes = bound.get("image_bytes").contains(true)
    rows(SparkSession.active, root, split, bytes).queryExecution.analyzed
  }

  private def rows(spark: SparkSession, root: String, split: Option[String], bytes: Boolean): DataFrame = {
    val folder = escaped(root)
    val inputs = Map(
      "once_images" -> imageFiles(spark, root, folder),
      "once_records" -> texts(spark, s"$folder/data/*/*.json", whole = true),
      "once_splits" -> texts(spark, s"$folder/ImageSets/*.txt"),
      "once_regions" -> texts(spark, s"$folder/ImageSets/region_type.txt").select("value"))
    val query = inputs.keys.foldLeft(Manifest.resource("once.sql")) { (text, name) =>
      text.replace(s"{${name.stripPrefix("once_")}}", name)
    }.replace("{image}", if (bytes) "content" else "path")
    val plan = substituted(spark.sessionState.sqlParser.parsePlan(query), inputs.view.mapValues(_.logicalPlan).toMap)
    val all = Dataset.ofRows(spark, plan)
    split.fold(all)(name => all.where(s"array_contains(splits, '$name')")).drop("splits")
  }

  /** The plan with relations in place of names; a WITH keeps its queries outside of a plan's children. */
  private def substituted(plan: LogicalPlan, inputs: Map[String, LogicalPlan]): LogicalPlan = plan.transformWithSubqueries {
    case relation: UnresolvedRelation if inputs.contains(relation.name) => inputs(relation.name)
    case query: UnresolvedWith =>
      query.copy(cteRelations = query.cteRelations.map { each =>
        each.copy(_2 = each._2.copy(child = substituted(each._2.child, inputs)))
      })
  }

  private def imageFiles(spark: SparkSession, root: String, folder: String): DataFrame =
    existing {
      spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", images)
        .load(s"$folder/data").select("path", "content")
    }.getOrElse(throw refused(
      "root", "an ONCE tree, data/<sequence>/<camera>/<frame>.jpg", s"'$root', which has no folder data"))

  /** Lines, or whole texts, of the files that match; no file, no rows: the images are kept. */
  private def texts(spark: SparkSession, glob: String, whole: Boolean = false): DataFrame =
    existing(spark.read.option("wholetext", whole).text(glob).select(col("_metadata.file_path").as("path"), col("value")))
      .getOrElse(spark.range(0).select(lit("").as("path"), lit("").as("value")))

  private def existing(read: => DataFrame): Option[DataFrame] =
    try Some(read)
    catch { case error: AnalysisException if error.getCondition == "PATH_NOT_FOUND" => None }

  /** A path that Hadoop takes by the letter, not as a pattern. */
  private def escaped(path: String): String =
    path.flatMap(c => if ("{}[]*?".contains(c)) s"\\$c" else c.toString)

  /** Arguments by name, defaults and NULLs left out. */
  private def bind(record: Manifest.Record, arguments: Seq[Expression]): Map[String, Any] = {
    val names = record.parameters.map(_.name)
    if (arguments.isEmpty || arguments.length > names.length) {
      throw QueryCompilationErrors.wrongNumArgsError(record.name, 1 to names.length, arguments.length)
    }
    arguments.zipWithIndex.flatMap {
      case (NamedArgumentExpression(name, value), _) if names.contains(name.toLowerCase) => constant(name.toLowerCase, value)
      case (NamedArgumentExpression(name, _), _) => throw refused(name, s"an argument of ${names.mkString(", ")}", name)
      case (value, index) => constant(names(index), value)
    }.toMap
  }

  private def constant(name: String, value: Expression): Option[(String, Any)] =
    Try(value.eval()).toOption.filter(_ => value.foldable) match {
      case Some(result) => Option(result).map(name -> _)
      case None => throw refused(name, "a constant", value.sql)
    }

  private def refused(name: String, expected: String, got: String): IllegalArgumentException =
    new IllegalArgumentException(s"read_once: $name: expected $expected, got $got")
}
