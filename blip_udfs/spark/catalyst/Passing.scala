package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._

/**
 * `blip_itm(image, 'text') > t` of a WHERE whose session promises a share of what it would keep.
 *
 * @param condition over `ranked`
 * @param below     the rows that meet the filter's other conditions
 */
case class Passing(ranked: Ranked, condition: Expression, below: LogicalPlan) {
  def call: PythonUDF = ranked.score

  /** Why every row of `rows`, which are those of `below` that other conditions leave, is scored. */
  def whyNot(rows: LogicalPlan): Option[String] = WhyNot.ofText(call).orElse(ranked.whyNot).orElse {
    def any(is: LogicalPlan => Boolean): Boolean = rows.collectWithSubqueries { case node if is(node) => node }.nonEmpty
    if (rows.isStreaming) Some("it reads a stream, of which no sample can be drawn")
    else if (rows.exists(Cascade.scores)) Some("other scores are below its own; expected one in a query")
    else if (Passing.runsPython(rows) || ranked.columns.exists(Passing.isPython))
      Some("a Python function makes its rows, which would run for each sample; store them in a table")
    else if (any(Passing.differs)) Some("it reads rows that may differ from read to read; store them in a table")
    else None
  }
}

object Passing extends PredicateHelper {
  def unapply(plan: LogicalPlan): Option[Passing] = plan match {
    case Filter(condition, child) =>
      val (scoring, others) = splitConjunctivePredicates(condition).partition(_.exists(Cascade.isScore))
      val bounds = scoring.flatMap(Bound.of)
      if (bounds.size < scoring.size || !bounds.exists(_.isLower) || bounds.map(_.ranked.canonicalized).distinct.size > 1) None
      else {
        val below = others.reduceOption(And(_, _)).fold(child)(Filter(_, child))
        Some(Passing(bounds.head.ranked, scoring.reduce(And(_, _)), below))
      }
    case _ => None
  }

  /** Whether a WHERE asks for less than every row that a score keeps. */
  def isAsked(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Cascade.isScore(call) && Settings.recall(call) < 1
    case _ => false
  }

  /** In what each sample reads; not the values that are made once. */
  private def runsPython(plan: LogicalPlan): Boolean = plan.exists(_.expressions.exists(isPython))

  private def isPython(expression: Expression): Boolean = expression.exists {
    case _: PythonUDF => true
    case subquery: SubqueryExpression => !subquery.isInstanceOf[ScalarSubquery] && runsPython(subquery.plan)
    case _ => false
  }

  /** Rows whose number is chosen anew in each read, or that ties may change; what else makes rows gives the same ones. */
  private def differs(node: LogicalPlan): Boolean = node match {
    case _: CTERelationRef | _: GlobalLimit | _: LocalLimit | _: Offset | _: Tail | _: Sample | _: Window => true
    case group: Aggregate => group.aggregateExpressions.exists(_.exists(isOfTies))
    case other => other.expressions.exists(!_.deterministic)
  }

  private def isOfTies(expression: Expression): Boolean = expression match {
    case function: aggregate.AggregateFunction => function match {
      case _: aggregate.Count | _: aggregate.Max | _: aggregate.Min => false
      case _ => true
    }
    case other => !other.deterministic
  }

  private case class Bound(ranked: Ranked, isLower: Boolean)

  /** A score against a constant. */
  private object Bound {
    def of(condition: Expression): Option[Bound] = condition match {
      case GreaterThan(score, least) => between(score, least, isLower = true)
      case GreaterThanOrEqual(score, least) => between(score, least, isLower = true)
      case LessThan(score, most) => between(score, most, isLower = false)
      case LessThanOrEqual(score, most) => between(score, most, isLower = false)
      case _ => None
    }

    private def between(left: Expression, right: Expression, isLower: Boolean): Option[Bound] =
      (scored(left), scored(right)) match {
        case (Some(ranked), None) if right.foldable => Some(Bound(ranked, isLower))
        case (None, Some(ranked)) if left.foldable => Some(Bound(ranked, !isLower))
        case _ => None
      }

    private def scored(expression: Expression): Option[Ranked] = expression match {
      case cast: Cast => scored(cast.child)
      case ranked: Ranked if isAsked(ranked.call) => Some(ranked)
      case _ => None
    }
  }
}
