package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.CollectList
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.blip.shims.{Dataset, SparkSession}
import org.apache.spark.sql.types.{DataType, DoubleType, IntegerType, StringType}

/**
 * `blip_search(table, query, k, candidates, one_per, queries)` as a table function: BLIP's retrieval protocol (arXiv
 * 2201.12086, section 4.1), the candidates by match logit + ITC similarity; of `queries`, for each of many sentences.
 */
object Search {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, passed => new Search(new Arguments(record, passed)).plan)
}

private class Search(arguments: Arguments) {
  private val spark = SparkSession.active
  private val embeddingName = spark.conf.get(Settings.columnKey, Manifest.ranking(Settings.columnKey))
  private val table = analyzed("table")
  private val k = arguments.number("k", default = 10, least = 1)
  private val candidates = arguments.number("candidates", default = 256, least = 0)
  private val onePer = arguments.constant("one_per").map(_.toString)

  def plan: LogicalPlan = {
    checkColumns()
    if (isGiven("queries")) ofMany else ofOne(Literal(arguments.text("query", "a sentence")))
  }

  /** The table's columns, but one that is named as the search's own, and the score. */
  private def ofOne(query: Literal): LogicalPlan = {
    val group = onePer.flatMap(column(_, _ => true))
    val (chosen, similarity) = candidateRows(query, group)
    val logit = ScalarFunction.beside(Manifest.withRole("itm_logit", tolerant = true), Seq(image, query))
    val score = Alias(Cast(Add(logit, Coalesce(Seq(similarity, Literal(-1.0f)))), DoubleType), "score")()
    val rows = Project(table.output.filterNot(each => isNamed(each, "score")) :+ score, chosen)
    val order = SortOrder(score.toAttribute, Descending, NullsLast, Nil)
    Limit(Literal(k, IntegerType), Sort(Seq(order), global = true, group.fold[LogicalPlan](rows)(each => Nearest.first(1, Seq(each), Seq(order), rows))))
  }

  private def ofMany: LogicalPlan = {
    Seq("query", "one_per").filter(isGiven).foreach { name =>
      throw arguments.refused(name, "none beside queries", "one; search for it alone")
    }
    val many = ManySearch(nearest(Literal("")), table, image, asked, candidates, spark.sparkContext.defaultParallelism * 4)
    many.best(k, each => !Seq("query", "rank", "score").exists(isNamed(each, _)))
  }

  /** Names, sentences and their embeddings, made once: of columns of these names, or of the only two. */
  private def asked: Expression = {
    val rows = analyzed("queries")
    val named = Seq("name", "sentence").flatMap(name => rows.output.find(isNamed(_, name)))
    (if (named.length == 2) named else rows.output) match {
      case Seq(name, sentence) if Seq(name, sentence).forall(_.dataType.isInstanceOf[StringType]) =>
        val embedding = Alias(ScalarFunction.beside(Manifest.withRole("text_embed"), Seq(sentence)), "embedding")()
        val embedded = Project(Seq(name, sentence, embedding), rows)
        val all = new CollectList(CreateStruct(embedded.output)).toAggregateExpression()
        ScalarSubquery(Aggregate(Nil, Seq(Alias(all, "asked")()), embedded))
      case _ => throw arguments.refused("queries", "the columns name and sentence, STRING", columns(rows))
    }
  }

  private def isGiven(name: String): Boolean = arguments.expression(name).exists {
    case Literal(null, _) => false
    case _ => true
  }

  /** The rows that ITM scores, spread over all cores, and their similarity to the query. */
  private def candidateRows(query: Literal, group: Option[Attribute]): (LogicalPlan, Attribute) = {
    val rows = nearest(query)
    val chosen = (candidates, group) match {
      case (0, _) => rows.all
      case (count, None) => rows.nearest(count)
      case (count, Some(group)) => rows.ofGroups(group, k, math.max(count, k))
    }
    val cores = spark.sparkContext.defaultParallelism
    (if (candidates == 0) chosen else Repartition(cores, shuffle = true, chosen), rows.similarity)
  }

  private def nearest(query: Literal): Nearest = {
    def constant(role: String, arguments: Expression*): Expression =
      ScalarSubquery(TextOnce.row(ScalarFunction.beside(Manifest.withRole(role), arguments)))
    val columns = Visible.byName(table, embeddingName)
    val newest = Newest.of(table, image, columns, Nil)
    Nearest(table, image, columns.toMap, newest, constant("text_embed", query), constant("model"))
  }

  private def analyzed(argument: String): LogicalPlan =
    Dataset.ofRows(spark, relation(argument)).queryExecution.analyzed

  /** A table's name, or TABLE(...). */
  private def relation(of: String): LogicalPlan = arguments.expression(of) match {
    case Some(argument: FunctionTableSubqueryArgumentExpression) => argument.plan
    case _ =>
      val expected = "a table's name or TABLE(SELECT ...)"
      val name = arguments.text(of, expected)
      if (!isName(name)) throw arguments.refused(of, expected, s"'${name.take(60)}'")
      UnresolvedRelation(spark.sessionState.sqlParser.parseMultipartIdentifier(name))
  }

  /** Words or backquoted text with dots between: the parser would drop a comment, and its errors would show the rest. */
  private def isName(text: String): Boolean = {
    val part = "(?:[\\p{L}\\p{N}_]+|`(?:[^`]|``)+`)"
    text.length <= 1000 && text.trim.matches(s"$part(?:[.]$part)*+")
  }

  private def checkColumns(): Unit = {
    val there = columns(table)
    if (!isThere("image", _ => true)) throw arguments.refused("table", "a column image", there)
    if (!isThere(embeddingName, Visible.isVector)) {
      throw arguments.refused("table", s"a column $embeddingName ARRAY<FLOAT>", there)
    }
    onePer.filterNot(isThere(_, _ => true)).foreach { name =>
      throw arguments.refused("one_per", "a column of the table", s"'$name'")
    }
  }

  private def columns(of: LogicalPlan): String = of.output.map(each => s"${each.name} ${each.dataType.sql}").mkString(", ")

  private def image: Attribute = column("image", _ => true).get

  private def isThere(name: String, fits: DataType => Boolean): Boolean = column(name, fits).isDefined

  private def column(name: String, fits: DataType => Boolean): Option[Attribute] =
    table.output.find(each => isNamed(each, name) && fits(each.dataType))

  private def isNamed(column: Attribute, name: String): Boolean = spark.sessionState.conf.resolver(column.name, name)
}
