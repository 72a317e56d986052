package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.{AggregateExpression, Max, MaxBy}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.util.toPrettySQL
import org.apache.spark.sql.types.IntegerType

/**
 * What asks for the best of each group by a score: `ROW_NUMBER() OVER (PARTITION BY g ORDER BY score DESC)`, RANK or
 * DENSE_RANK with a WHERE that keeps the first k; `max(score)` and `max_by(x, score)` with or without GROUP BY. A group
 * none of whose rows is a candidate has no row.
 *
 * @param node  the window or the aggregate
 * @param child what it reads
 * @param below the rows of that before they are scored
 * @param keys  what the groups are made of, and `score`, over `below`
 * @param wrong why its own shape needs every row
 */
case class Groups(
    node: LogicalPlan, child: LogicalPlan, below: LogicalPlan, keys: Seq[Expression], score: Option[Ranked],
    wrong: Option[String]) {

  /** Why every row must be scored; None where the nearest of each group will do. */
  def whyNot: Option[String] = wrong.orElse {
    val ranked = score.get
    if (below.exists(Cascade.scores)) Some("its WHERE scores rows; expected conditions on other columns")
    else if (!ranked.references.subsetOf(below.outputSet) || !AttributeSet(keys).subsetOf(below.outputSet))
      Some(s"between its scores and its groups is a ${below.nodeName}; score and group in one subquery")
    else if (!keys.forall(_.deterministic)) Some("its groups differ from run to run; expected columns")
    else if (keys.exists(_.exists(_.isInstanceOf[PythonUDF]))) Some("a Python function makes its groups; expected columns")
    else if (below.exists(_.isInstanceOf[CTERelationRef]))
      Some("its common table expression differs from read to read; store its rows in a table")
    else if (below.isStreaming) Some("it reads a stream, whose groups are never whole")
    else ranked.whyNot
  }

  def over(candidates: LogicalPlan): LogicalPlan =
    Cascade.plain(node.withNewChildren(Seq(Cascade.replaced(child, below, candidates))))
}

object Groups extends PredicateHelper {
  import Cascade.{belowScores, lowered}

  def unapply(plan: LogicalPlan): Option[Groups] = plan match {
    case Filter(condition, child) => windowBelow(child).flatMap(ofWindow(_, bound(condition, child, _)))
    case window: Window => ofWindow(window, _ => None)
    case group: Aggregate => ofAggregate(group)
    case _ => None
  }

  private def windowBelow(plan: LogicalPlan): Option[Window] = plan match {
    case window: Window => Some(window)
    case Project(list, child) if list.forall(_.deterministic) => windowBelow(child)
    case _ => None
  }

  private def ofWindow(window: Window, bound: Window => Option[Int]): Option[Groups] = {
    val child = PulledUp(window.child)
    val below = belowScores(child)
    val orders = window.orderSpec.map(lowered(_, child, below).asInstanceOf[SortOrder])
    if (!orders.exists(each => hasRanked(each) || isOfScore(each.child))) None
    else {
      val score = Some(orders.head.child).collect { case score: Ranked => score }
      val wrong = score match {
        case None => Some("the first ORDER BY key of its window is not blip_itm(image, 'a text') itself")
        case Some(score) =>
          WhyNot.ofKey(score.score, orders.head).orElse(ofFunctions(window)).orElse(ofBound(score, bound(window)))
      }
      Some(Groups(window, child, below, window.partitionSpec.map(lowered(_, child, below)), score, wrong))
    }
  }

  private def ofFunctions(window: Window): Option[String] = window.windowExpressions.filterNot(isRank).headOption.map {
    each => s"beside its rank is ${shown(each)}; expected ROW_NUMBER, RANK or DENSE_RANK alone over a window"
  }

  private def ofBound(score: Ranked, bound: Option[Int]): Option[String] = bound match {
    case None => Some("no condition right above its window keeps the first k ranks; expected WHERE rank <= k")
    case Some(k) if k > Settings.candidates(score.score) =>
      Some(s"it asks for $k rows of each group; expected no more than candidates, SET ${Cascade.key} to more")
    case _ => None
  }

  private def isRank(expression: Expression): Boolean = expression match {
    case Alias(WindowExpression(_: RowNumber | _: Rank | _: DenseRank, _), _) => true
    case _ => false
  }

  /** The least k of the conditions above a window that keep ranks up to k. */
  private def bound(condition: Expression, above: LogicalPlan, window: Window): Option[Int] = {
    val ranks = AttributeSet(window.windowExpressions.filter(isRank).map(_.toAttribute))
    def isRanks(side: Expression): Boolean = side match {
      case column: Attribute => ranks.contains(column)
      case _ => false
    }
    def most(condition: Expression): Option[Int] = condition match {
      case LessThanOrEqual(rank, Whole(k)) if isRanks(rank) => Some(k)
      case GreaterThanOrEqual(Whole(k), rank) if isRanks(rank) => Some(k)
      case LessThan(rank, Whole(k)) if isRanks(rank) => Some(k - 1)
      case GreaterThan(Whole(k), rank) if isRanks(rank) => Some(k - 1)
      case EqualTo(rank, Whole(k)) if isRanks(rank) => Some(k)
      case EqualTo(Whole(k), rank) if isRanks(rank) => Some(k)
      case In(rank, list) if isRanks(rank) && list.forall(Whole.unapply(_).isDefined) => Some(list.flatMap(Whole.unapply(_)).max)
      case _ => None
    }
    splitConjunctivePredicates(lowered(condition, above, window)).flatMap(most(_)).reduceOption(_ min _)
  }

  private object Whole {
    def unapply(expression: Expression): Option[Int] =
      if (expression.foldable && expression.dataType == IntegerType) Option(expression.eval()).map(_.asInstanceOf[Int])
      else None
  }

  private def ofAggregate(group: Aggregate): Option[Groups] = {
    val child = PulledUp(group.child)
    val below = belowScores(child)
    val asked = group.aggregateExpressions.flatMap(_.collect { case each: AggregateExpression => each })
    val functions = asked.map(each => each -> lowered(each, child, below).asInstanceOf[AggregateExpression])
    if (!functions.exists(each => hasRanked(each._2))) None
    else {
      val scores = functions.map { case (_, function) => scoreOf(function) }
      val others = functions.zip(scores).collect { case ((asked, _), None) => asked }
      val score = scores.flatten.headOption
      val wrong = others.headOption.map(each =>
        s"its ${shown(each)} needs every row of a group; expected max(blip_itm(image, 'a text')) or max_by(x, blip_itm(...)) alone"
      ).orElse(score.flatMap(first => ofScores(first, scores.flatten)))
      Some(Groups(group, child, below, group.groupingExpressions.map(lowered(_, child, below)), score, wrong))
    }
  }

  private def scoreOf(function: AggregateExpression): Option[Ranked] =
    if (function.filter.isDefined) None
    else function.aggregateFunction match {
      case Max(score: Ranked) => Some(score)
      case MaxBy(_, score: Ranked) => Some(score)
      case _ => None
    }

  private def ofScores(first: Ranked, all: Seq[Ranked]): Option[String] =
    if (all.map(sentence).distinct.size > 1) Some("it asks for the best by several sentences or images; expected a query for each")
    else WhyNot.ofText(first.score)

  /** What candidates depend on: not whether the probability or the logit is asked for. */
  private def sentence(score: Ranked): Any =
    (score.score.children.map(_.canonicalized), score.columns.map(_.canonicalized), score.names, Command.settings(score.score))

  private def hasRanked(expression: Expression): Boolean = expression.exists(_.isInstanceOf[Ranked])

  /** A function of a score, not the score itself, which may be a candidate's by now. */
  private def isOfScore(key: Expression): Boolean = !Cascade.isAsked(key) && key.exists(Cascade.isAsked)

  private def shown(expression: Expression): String = {
    val text = toPrettySQL(expression match {
      case Alias(window: WindowExpression, _) => window.windowFunction
      case other => other
    })
    if (text.length > 60) text.take(60) + "..." else text
  }
}
