package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo, FunctionTableSubqueryArgumentExpression}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.classic.{DataFrame, Dataset, SparkSession}
import org.apache.spark.sql.expressions.Window
import org.apache.spark.sql.functions.{col, desc_nulls_last, row_number}
import org.apache.spark.sql.types.{ArrayType, DataType, FloatType}

/** `blip_search(table, query, k, candidates, one_per)` as a table function: the query of search.sql, and the best rows. */
object Search {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, passed => build(new Arguments(record, passed)))

  private def build(arguments: Arguments): LogicalPlan = {
    val spark = SparkSession.active
    val table = Dataset.ofRows(spark, relation(spark, arguments))
    val embedding = spark.conf.get("spark.blip.search.embeddingColumn", "embedding")
    val query = arguments.text("query", "a sentence")
    val k = arguments.number("k", default = 10, least = 1)
    val candidates = arguments.number("candidates", default = 256, least = 0)
    val onePer = arguments.constant("one_per").map(_.toString)
    checkColumns(arguments, table, embedding, onePer)
    val rows = scored(spark, table.logicalPlan, query, candidates, embedding)
    onePer.fold(rows)(best(rows, _)).orderBy(desc_nulls_last("score")).limit(k).queryExecution.analyzed
  }

  /** A table's name, or TABLE(...). */
  private def relation(spark: SparkSession, arguments: Arguments): LogicalPlan = arguments.expression("table") match {
    case Some(argument: FunctionTableSubqueryArgumentExpression) => argument.plan
    case _ =>
      val expected = "a table's name or TABLE(SELECT ...)"
      val name = arguments.text("table", expected)
      if (!isName(name)) throw arguments.refused("table", expected, s"'${name.take(60)}'")
      UnresolvedRelation(spark.sessionState.sqlParser.parseMultipartIdentifier(name))
  }

  /** Words or backquoted text with dots between: the parser would drop a comment, and its errors would show the rest. */
  private def isName(text: String): Boolean = {
    val part = "(?:[\\p{L}\\p{N}_]+|`(?:[^`]|``)+`)"
    text.length <= 1000 && text.trim.matches(s"$part(?:[.]$part)*+")
  }

  private def checkColumns(arguments: Arguments, table: DataFrame, embedding: String, onePer: Option[String]): Unit = {
    val there = table.schema.fields.map(field => s"${field.name} ${field.dataType.sql}").mkString(", ")
    def missing(name: String): Boolean = !table.columns.exists(table.sparkSession.sessionState.conf.resolver(_, name))
    if (missing("image")) throw arguments.refused("table", "a column image", there)
    val vectors = table.schema.find(field => table.sparkSession.sessionState.conf.resolver(field.name, embedding))
    if (!vectors.exists(field => DataType.equalsIgnoreNullability(field.dataType, ArrayType(FloatType)))) {
      throw arguments.refused("table", s"a column $embedding ARRAY<FLOAT>", there)
    }
    onePer.filter(missing).foreach(name => throw arguments.refused("one_per", "a column of the table", s"'$name'"))
  }

  private def scored(
      spark: SparkSession, table: LogicalPlan, query: String, candidates: Int, embedding: String): DataFrame = {
    val text = Seq(
      "table" -> "blip_table", "image" -> "image", "embedding" -> s"`${embedding.replace("`", "``")}`",
      "nearest" -> (if (candidates == 0) "" else s"ORDER BY blip_itc DESC LIMIT $candidates"),
      "cores" -> spark.sparkContext.defaultParallelism.toString
    ).foldLeft(Manifest.resource("search.sql")) { case (sql, (name, value)) => sql.replace(s"{$name}", value) }
    val parsed = spark.sessionState.sqlParser.parsePlan(text)
    Dataset.ofRows(spark, Template.filled(parsed, Map("blip_table" -> table), Map("query" -> query)))
  }

  /** Of rows with the same value in a column, the one with the highest score. */
  private def best(rows: DataFrame, column: String): DataFrame = {
    val key = col(s"`${column.replace("`", "``")}`")
    val rank = row_number().over(Window.partitionBy(key).orderBy(desc_nulls_last("score")))
    rows.withColumn("blip_rank", rank).where("blip_rank = 1").drop("blip_rank")
  }
}
