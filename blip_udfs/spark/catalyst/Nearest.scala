package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.{AggregateExpression, AggregateFunction, Complete, Max}
import org.apache.spark.sql.catalyst.plans.LeftOuter
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.types.{BinaryType, BooleanType, FloatType, IntegerType, StringType}

/**
 * BLIP's choice of candidates (arXiv 2201.12086, section 4.1): the rows whose stored embedding is nearest to a text's.
 * Rows of another model than `ours`, older versions of an image and images that could not be embedded are none; rows
 * whose embedding cannot be compared (NULL, NaN, zero, another length) come behind the others.
 *
 * @param columns the embedding, and the relation's model, version and error where it has them
 * @param newest  see Newest
 */
case class Nearest(
    relation: LogicalPlan,
    image: Expression,
    columns: Map[String, Expression],
    newest: Option[LogicalPlan],
    text: Expression,
    ours: Expression) {
  import Nearest._

  private val vector = columns(Visible.embedding)
  private val model = columns.get("model")
  private val failed = columns.get("error").map(error => And(IsNotNull(error), IsNull(vector)))
  private val (rows, isOld) = newest.fold((relation, Option.empty[Expression])) { newest =>
    val (joined, isOld) = Newest.joined(relation, newest, image, model, columns("version"))
    (joined, Some(isOld))
  }
  private lazy val product =
    Alias(If(EqualTo(Size(vector), Size(text)), Shims.innerProduct(vector, text), nothing), "blip_product")()
  private lazy val near = Alias(usable(product.toAttribute), "blip_similarity")()

  /** Whether an image is patch features of another model, which `ours` cannot read. */
  private val madeByAnother: Option[Expression] = digest.map { digest =>
    And(EqualTo(Substring(image, Literal(1), Literal(known.magic.length)), Cast(Literal(known.magic), BinaryType)),
      Not(EqualTo(digest, Cast(Substring(ours, Literal(-known.digits), Literal(known.digits)), BinaryType))))
  }

  private def digest: Option[Expression] =
    if (image.dataType == BinaryType) Some(Substring(image, Literal(known.digest), Literal(known.digits))) else None

  /** Why a row is no candidate: NULL where it is one. */
  private val refused: Option[Alias] = {
    val others = model.map(isOfAnother).toSeq ++ madeByAnother
    val reasons = others.map(_ -> OTHER) ++ (isOld ++ failed).map(_ -> PAST)
    if (reasons.isEmpty) None
    else Some(Alias(CaseWhen(reasons.map { case (is, why) => is -> Literal(why) }), "blip_refused")())
  }

  /** Similarity to the text, NULL where there is none. */
  lazy val similarity: Attribute = near.toAttribute

  /** The relation's columns and the similarity, of every row that may be a candidate. */
  def all: LogicalPlan = Project(relation.output :+ similarity, allowed)

  /** The relation's columns and the similarity of every row, NULL where it is no candidate. */
  def every: (LogicalPlan, Attribute) = {
    val known = refused.fold[Expression](similarity)(why => If(IsNull(why.toAttribute), similarity, nothing))
    val column = Alias(known, "blip_similarity")()
    (Project(relation.output :+ column, measured), column.toAttribute)
  }

  private def allowed: LogicalPlan = refused.fold(measured)(why => Filter(IsNull(why.toAttribute), measured))

  /** The same of the `count` nearest, in one partition. */
  def nearest(count: Int): LogicalPlan = taken(count, measured, Nil)

  private def taken(count: Int, rows: LogicalPlan, before: Seq[SortOrder]): LogicalPlan = {
    val candidatesFirst = refused.map(why => SortOrder(why.toAttribute, Ascending, NullsFirst, Nil))
    val order = (candidatesFirst ++ before).toSeq :+ SortOrder(similarity, Descending, NullsLast, Nil)
    val first = Limit(Literal(count, IntegerType), Sort(order, global = true, rows))
    val chosen = refused.fold[LogicalPlan](first)(why => checked(first, why.toAttribute))
    Project(relation.output :+ similarity, Filter(Marked(similarity, count), chosen))
  }

  /** The same of the `count` nearest of each group. `once` makes a subquery of a plan. */
  def ofEach(groups: Seq[Expression], count: Int, once: LogicalPlan => Expression): LogicalPlan = {
    val rows = refused.fold(measured)(why => Filter(mayBe(why.toAttribute, once), measured))
    val made = groups.map(Alias(_, "blip_group")())
    val wide = Project(rows.output ++ made, rows)
    val order = Seq(SortOrder(similarity, Descending, NullsLast, Nil))
    val chosen = first(count, made.map(_.toAttribute), order, wide)
    Project(relation.output :+ similarity, Filter(Marked.ofEach(similarity, count, "group"), chosen))
  }

  /** Whether a row is a candidate; an error, as of `checked`, at a row of another model where no row is one. Rows are
   * looked at until there is one: no group knows of the others. */
  private def mayBe(why: Attribute, once: LogicalPlan => Expression): Expression =
    if (labels.isEmpty) IsNull(why)
    else {
      val any = once(Limit(Literal(1, IntegerType), Project(Seq(Alias(Literal(true), "blip_any")()), allowed)))
      val isWrong = And(IsNull(any), EqualNullSafe(why, Literal(OTHER)))
      If(isWrong, failure(Coalesce(labels)), IsNull(why))
    }

  /** `count` rows, first the nearest of each of the `k` nearest groups, then the nearest: so that k groups are among them
   * where the relation has k. Only a row of each group is moved. */
  def ofGroups(group: Attribute, k: Int, count: Int): LogicalPlan = {
    val mark = CreateStruct(Seq(similarity, new XxHash64(Seq(image))))
    val key = Alias(group, "blip_group")()
    val best = Alias(Max(mark).toAggregateExpression(), "blip_best")()
    val groups = Aggregate(Seq(group), Seq(key, best), allowed)
    val order = SortOrder(best.toAttribute, Descending, NullsLast, Nil)
    val nearest = Limit(Literal(k, IntegerType), Sort(Seq(order), global = true, groups))
    val isBest = And(EqualNullSafe(group, key.toAttribute), EqualNullSafe(mark, best.toAttribute))
    val rows = Join(measured, nearest, LeftOuter, Some(isBest), Newest.toEveryTask)
    taken(count, rows, Seq(SortOrder(IsNotNull(best.toAttribute), Descending)))
  }

  /** Of rows that may be candidates, and of those of other models where that is to be said: the sentences of which each
   * may be among the `count` nearest (0: all), last. */
  def among(asked: Expression, count: Int): LogicalPlan = {
    val why = refused.map(_.toAttribute)
    val wanted = why.map { why => if (count == 0) IsNull(why) else Or(IsNull(why), EqualTo(why, Literal(OTHER))) }
    val judged = Project(relation.output ++ refused, rows)
    val nobody = Literal.create(null, IntegerType)
    val hits = Alias(AmongNearest(vector, why.getOrElse(nobody), asked, count), "blip_pairs")()
    val numbered = Project(judged.output :+ hits, wanted.fold[LogicalPlan](judged)(Filter(_, judged)))
    val found = Filter(IsNotNull(hits.toAttribute), numbered)
    if (count == 0) Project(relation.output :+ hits.toAttribute, found) else found
  }

  /** Of rows with a sentence's `place` and their similarity to it, the `count` nearest of each. */
  def firstOfEach(count: Int, place: Attribute, near: Attribute, rows: LogicalPlan): LogicalPlan = {
    val why = refused.map(_.toAttribute)
    val order = why.map(SortOrder(_, Ascending, NullsFirst, Nil)).toSeq :+ SortOrder(near, Descending, NullsLast, Nil)
    val chosen = first(count, Seq(place), order, rows)
    Filter(Marked.ofEach(near, count, "sentence"), why.fold(chosen)(checked(chosen, _, Seq(place))))
  }

  private def measured: LogicalPlan = {
    val first = Project(relation.output ++ refused :+ product, rows)
    Project(relation.output ++ refused.map(_.toAttribute) :+ near, first)
  }

  /** A number that sorts: that the vector is NULL, NaN, infinite or zero is no similarity. */
  private def usable(product: Attribute): Expression = {
    val isZero = Seq(product, ArrayMax(vector), ArrayMin(vector)).map(EqualTo(_, Literal(0.0f)): Expression).reduce(And(_, _))
    val isNoNumber = Or(IsNaN(product), EqualTo(Abs(product), Literal(Float.PositiveInfinity)))
    If(Or(isNoNumber, isZero), nothing, product)
  }

  /** What names the model of a row that is of another one. */
  private def labels: Seq[Expression] =
    model.map(model => If(isOfAnother(model), model, noText)).toSeq ++ digest.map(Cast(_, StringType))

  private def isOfAnother(model: Expression): Expression = And(isLabel(model), Not(EqualTo(model, ours)))

  /** Without what is no candidate; an error that names both models if nothing but rows of another one is left. */
  private def checked(taken: LogicalPlan, why: Attribute, of: Seq[Expression] = one): LogicalPlan = {
    if (labels.isEmpty) Filter(IsNull(why), taken)
    else {
      val any = Alias(overAll(Max(IsNull(why)), of), "blip_any")()
      val other = Alias(overAll(Max(If(EqualTo(why, Literal(OTHER)), Coalesce(labels), noText)), of), "blip_other")()
      val isWrong = And(Not(any.toAttribute), IsNotNull(other.toAttribute))
      val kept = If(isWrong, failure(other.toAttribute), IsNull(why))
      Filter(kept, Window(Seq(any, other), of, Nil, taken))
    }
  }

  private def failure(other: Expression): Expression = Shims.failure(Concat(Seq(
    Literal("no row has an embedding of the session's model "), ours, Literal("; they were made by "), other,
    Literal(": SET spark.blip.model to that one, or embed the images again"))), BooleanType)
}

object Nearest {
  private val OTHER = 1
  private val PAST = 2
  private val nothing = Literal.create(null, FloatType)
  private val noText = Literal.create(null, StringType)
  private val known = Manifest.features
  private val one = Seq(Literal(1)) // candidates are in one partition already: Spark would warn of none

  /** The first `count` rows of each group. */
  private[blip] def first(count: Int, groups: Seq[Attribute], order: Seq[SortOrder], rows: LogicalPlan): LogicalPlan = {
    val frame = SpecifiedWindowFrame(RowFrame, UnboundedPreceding, CurrentRow)
    val rank = Alias(WindowExpression(RowNumber(), WindowSpecDefinition(groups, order, frame)), "blip_rank")()
    val isFirst = LessThanOrEqual(rank.toAttribute, Literal(count, IntegerType))
    Project(rows.output, Filter(isFirst, Window(Seq(rank), groups, order, rows)))
  }

  /** `name@digest`, as blip_model() gives it: a column `model` may be a car's. */
  private def isLabel(model: Expression): Expression = RLike(model, Literal(".@[0-9a-f]{12}$"))

  private def overAll(function: AggregateFunction, of: Seq[Expression]): Expression = WindowExpression(
    AggregateExpression(function, Complete, isDistinct = false),
    WindowSpecDefinition(of, Nil, SpecifiedWindowFrame(RowFrame, UnboundedPreceding, UnboundedFollowing)))
}
