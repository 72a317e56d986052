package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.{CollectList, First}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.types._

/**
 * blip_search's plan of many sentences, in one scan: the candidates of each, each row once with the sentences that it is a
 * candidate of, for which its image is encoded once; then the best of each sentence.
 *
 * @param asked the sentences, see AmongNearest
 * @param tasks over which ITM is spread
 */
case class ManySearch(nearest: Nearest, table: LogicalPlan, image: Attribute, asked: Expression, candidates: Int, tasks: Int) {
  import AmongNearest.{hits => pairs, name, place, sentence, similarity}

  private val pair = pairs.elementType

  /** The `k` best rows of each: the table's columns that `keep` keeps, query, rank and score. */
  def best(k: Int, keep: Attribute => Boolean): LogicalPlan = {
    val (scored, placed, query, score) = pairsWithScores
    val order = Seq(SortOrder(score, Descending, NullsLast, Nil))
    val frame = SpecifiedWindowFrame(RowFrame, UnboundedPreceding, CurrentRow)
    val rank = Alias(WindowExpression(RowNumber(), WindowSpecDefinition(Seq(placed), order, frame)), "rank")()
    val ranked = Window(Seq(rank), Seq(placed), order, scored)
    val kept = Filter(LessThanOrEqual(rank.toAttribute, Literal(k, IntegerType)), ranked)
    val inOrder = Seq(placed, rank.toAttribute).map(SortOrder(_, Ascending))
    val others = scored.output.take(table.output.length).filter(keep)
    Project(others ++ Seq(query, rank.toAttribute, score), Sort(inOrder, global = true, kept))
  }

  /** A row for each sentence's candidate: the table's columns, the sentence's place and name, and the score. */
  private def pairsWithScores: (LogicalPlan, Attribute, Attribute, Attribute) = {
    val chosen = if (candidates == 0) nearest.among(asked, 0) else nearestOfEach
    val all = chosen.output.last
    val together = ScalarFunction.beside(Manifest.withRole("try_together", tolerant = true), Seq(
      chosen.output(table.output.indexOf(image)), Literal("logits"), field(all, sentence),
      Literal.default(ArrayType(ArrayType(StringType)))))
    val ofTogether = together.dataType.asInstanceOf[StructType].fieldIndex("logits")
    val logits = Alias(GetStructField(together, ofTogether), "blip_logits")()
    val at = AttributeReference("blip_at", IntegerType, nullable = false)()
    val one = AttributeReference("blip_pair", pair, nullable = false)()
    val each = Generate(PosExplode(all), Nil, outer = false, None, Seq(at, one), Project(chosen.output :+ logits, chosen))
    val ofMatch = GetArrayItem(logits.toAttribute, at, failOnError = false)
    val near = Coalesce(Seq(GetStructField(one, similarity), Literal(-1.0f)))
    val placed = Alias(GetStructField(one, place), "blip_place")()
    val query = Alias(GetStructField(one, name), "query")()
    val score = Alias(Cast(Add(ofMatch, near), DoubleType), "score")()
    val columns = chosen.output.take(table.output.length)
    (Project(columns ++ Seq(placed, query, score), each), placed.toAttribute, query.toAttribute, score.toAttribute)
  }

  private def field(all: Expression, ordinal: Int): Expression = {
    val kind = pair.asInstanceOf[StructType]
    GetArrayStructFields(all, kind(ordinal), ordinal, kind.length, containsNull = false)
  }

  /** The `candidates` nearest rows of each sentence, each once, with the sentences. */
  private def nearestOfEach: LogicalPlan = {
    val among = nearest.among(asked, candidates)
    val row = Alias(MonotonicallyIncreasingID(), "blip_row")()
    val numbered = Project(among.output :+ row, among)
    val one = AttributeReference("blip_pair", pair, nullable = false)()
    val each = Generate(Explode(among.output.last), Nil, outer = false, None, Seq(one), numbered)
    val placed = Alias(GetStructField(one, place), "blip_place")()
    val near = Alias(GetStructField(one, similarity), "blip_similarity")()
    val pairsOfRows = Project(among.output.init ++ Seq(row.toAttribute, one, placed, near), each)
    val chosen = nearest.firstOfEach(candidates, placed.toAttribute, near.toAttribute, pairsOfRows)
    val spread = RepartitionByExpression(Seq(row.toAttribute), chosen, Some(tasks))
    val whole = Alias(First(CreateStruct(table.output), ignoreNulls = false).toAggregateExpression(), "blip_whole")()
    val all = Alias(new CollectList(one).toAggregateExpression(), "blip_pairs")()
    val grouped = Aggregate(Seq(row.toAttribute), Seq(whole, all), spread)
    val columns = table.output.zipWithIndex.map { case (column, at) =>
      Alias(GetStructField(whole.toAttribute, at), column.name)(explicitMetadata = Some(column.metadata))
    }
    Project(columns :+ all.toAttribute, grouped)
  }
}
