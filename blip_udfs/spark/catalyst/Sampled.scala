package org.apache.spark.sql.blip

import org.json4s.{DefaultFormats, Formats, JValue}
import org.json4s.jackson.JsonMethods.parse
import org.json4s.jackson.Serialization.write

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.Count
import org.apache.spark.sql.catalyst.plans.Inner
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.util.GenericArrayData
import org.apache.spark.sql.execution.{QueryExecution, SparkPlan}
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.types.UTF8String

/**
 * The sample of a WHERE with a promise, see blip_udfs/blip/recall.py: rows by similarity, a first sample, a second one, the
 * bound. A label is known by its image, not by its row, whose place may differ from job to job; which rows are drawn does
 * not depend on images, so that copies of one are drawn each by itself.
 */
class Sampled(found: Found) {
  import Sampled._

  private implicit val formats: Formats = DefaultFormats
  private val Found(session, rows, similarity, call, condition, score) = found
  private val bin = Alias(binned(similarity), "blip_bin")()
  private val key = Alias(new Sha2(Cast(call.children.head, BinaryType), Literal(256)), "blip_key")()
  private val wide = Project(rows.output ++ Seq(bin, key), rows)
  private val (place, image) = (bin.toAttribute, key.toAttribute)

  def answer: Answer = {
    val counts = counted
    val said = Map("recall" -> Settings.recall(call), "confidence" -> Settings.confidence(call),
      "rows" -> counts.collect { case (Some(at), count) => Seq(at.toLong, count) })
    val first = drawn(rates(asked(said)), Seq.empty, firstSeed)
    val labels = first.map(each => each.image -> each).toMap
    val known = said + ("seen" -> seen(labels))
    val second = rates(asked(known)).fold(Seq.empty[Label])(chosen => drawn(Some(chosen), labels.keys.toSeq, secondSeed))
    val passed = second.filter(_.passes).groupBy(_.bin).map { case (at, all) => Seq(at.toLong, all.size.toLong) }.toSeq
    val bound = if (second.isEmpty) None else (asked(known + ("found" -> passed)) \ "bound").extractOpt[Int]
    Answer(counts, first ++ second, bound, Settings.recall(call), Settings.confidence(call))
  }

  /** The rows that are kept: those that the sample has labelled, and of the others those above the bound that pass. */
  def kept(answer: Answer): Seq[SparkPlan] = {
    val labelled = answer.labels.map(_.image).distinct
    val near = answer.bound.map(least => Or(IsNull(place), GreaterThanOrEqual(place, Literal(least))))
    val conditions = near.toSeq ++ not(labelled)
    val scored = Project(wide.output :+ named(call), conditions.foldLeft[LogicalPlan](wide)((below, each) => Filter(each, below)))
    val passing = answer.labels.filter(_.passes)
    (planned(Project(found.output, Filter(condition, scored))) +: Some(passing).filter(_.nonEmpty).map(ofSample).toSeq)
  }

  private def ofSample(passing: Seq[Label]): SparkPlan = {
    val columns = Seq(AttributeReference("image", StringType)(), AttributeReference("score", score.dataType)())
    val local = passing.map(each => each.image -> each.score).toMap.toSeq.map { case (of, value) => InternalRow(of, value) }
    val joined = Join(wide, LocalRelation(columns, local), Inner, Some(EqualTo(image, columns.head)), Newest.toEveryTask)
    planned(Project(found.output.dropRight(1) :+ named(columns.last), joined))
  }

  private def named(value: Expression): NamedExpression = Alias(value, score.name)(exprId = score.exprId)

  private def not(images: Seq[UTF8String]): Option[Expression] =
    if (images.isEmpty) None else Some(Not(InSet(image, images.toSet[Any])))

  /** Rows by bin; None of those without a similarity. */
  private def counted: Seq[(Option[Int], Long)] = {
    val count = Alias(Count(Literal(1)).toAggregateExpression(), "rows")()
    collected(Aggregate(Seq(place), Seq(place, count), wide)).map(row => at(row) -> row.getLong(1))
  }

  /** Of each bin, rows whose image has a label, and how many of these pass. */
  private def seen(labels: Map[UTF8String, Label]): Seq[Seq[Long]] = if (labels.isEmpty) Nil else {
    val count = Alias(Count(Literal(1)).toAggregateExpression(), "rows")()
    val copies = Aggregate(Seq(place, image), Seq(place, image, count), Filter(InSet(image, labels.keys.toSeq.toSet[Any]), wide))
    val all = collected(copies).flatMap { row =>
      at(row).map(bin => (bin, row.getLong(2), labels(row.getUTF8String(1)).passes))
    }
    all.groupBy(_._1).map { case (bin, of) =>
      Seq(bin.toLong, of.map(_._2).sum, of.filter(_._3).map(_._2).sum)
    }.toSeq
  }

  /** Rows that are drawn by the rates of their bins, without these images, and their labels. */
  private def drawn(rates: Option[Seq[Double]], without: Seq[UTF8String], seed: Long): Seq[Label] =
    rates.fold(Seq.empty[Label]) { rates =>
      val chance = Alias(Rand(seed), "blip_chance")()
      val rate = GetArrayItem(Literal.create(new GenericArrayData(rates.toArray[Any]), ArrayType(DoubleType)), place, failOnError = false)
      val all = Project(wide.output :+ chance, wide)
      val chosen = Filter((LessThan(chance.toAttribute, rate) +: IsNotNull(image) +: not(without).toSeq).reduce[Expression](And(_, _)), all)
      collected(Project(Seq(place, image, named(call)), chosen)).map { row =>
        val value = row.get(2, score.dataType)
        Label(row.getInt(0), row.getUTF8String(1), value, passes.eval(InternalRow(value)) == true)
      }
    }

  private val passes = BindReferences.bindReference(condition, Seq(score): AttributeSeq)

  private def at(row: InternalRow): Option[Int] = if (row.isNullAt(0)) None else Some(row.getInt(0))

  private def collected(plan: LogicalPlan): Seq[InternalRow] = planned(plan).executeCollect().toSeq.map(_.copy())

  private def planned(plan: LogicalPlan): SparkPlan =
    QueryExecution.prepareExecutedPlan(session, session.sessionState.optimizer.execute(plan))

  private def asked(request: Map[String, Any]): JValue = {
    val step = ScalarFunction.plain(Manifest.withRole("bound"), Seq(Literal(write(request))))
    parse(collected(TextOnce.row(step)).head.getString(0))
  }

  private def rates(said: JValue): Option[Seq[Double]] = (said \ "rates").extractOpt[Seq[Seq[Double]]].map { pairs =>
    val of = pairs.map(pair => pair.head.toInt -> pair(1)).toMap
    (0 to bins).map(of.getOrElse(_, 0.0))
  }
}

/** A row of a sample: its score and whether the WHERE keeps it. */
case class Label(bin: Int, image: UTF8String, score: Any, passes: Boolean)

object Sampled {
  private[blip] val half = 4096
  private val bins = 2 * half
  private val firstSeed = 20260116L
  private val secondSeed = 20260116L << 24

  /** The more similar, the higher; NULL of no similarity. */
  private def binned(similarity: Expression): Expression = {
    val place = Floor(Multiply(Add(Cast(similarity, DoubleType), Literal(1.0)), Literal(half.toDouble)))
    val within = Cast(Least(Seq(Greatest(Seq(place, Literal(0L))), Literal(bins.toLong))), IntegerType)
    If(IsNull(similarity), Literal.create(null, IntegerType), within)
  }
}
