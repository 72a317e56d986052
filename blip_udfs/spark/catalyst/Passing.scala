package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._

/**
 * `blip_itm(image, 'text') > t` of a WHERE whose session promises a share of what it would keep.
 *
 * @param condition over `score`
 * @param below     the rows that meet the other conditions
 */
case class Passing(ranked: Ranked, condition: Expression, below: LogicalPlan) {
  import Passing._

  def call: PythonUDF = ranked.score

  /** Why every row is scored. */
  def whyNot: Option[String] = WhyNot.ofText(call).orElse {
    if (below.exists(Cascade.scores)) Some("below its WHERE are other scores; expected one")
    else if (!ranked.references.subsetOf(below.outputSet)) Some("its WHERE is above the SELECT of its image; expected one subquery")
    else if (below.isStreaming) Some("it reads a stream, of which no sample can be drawn")
    else if (below.exists(differs)) Some("it reads rows that differ from read to read; store them in a table")
    else ranked.whyNot
  }

  private def differs(node: LogicalPlan): Boolean = node match {
    case _: CTERelationRef | _: LocalLimit | _: GlobalLimit | _: Sample => true
    case other => !other.expressions.forall(_.deterministic)
  }
}

object Passing extends PredicateHelper {
  def unapply(plan: LogicalPlan): Option[Passing] = plan match {
    case Filter(condition, child) =>
      val (scoring, others) = splitConjunctivePredicates(condition).partition(_.exists(Cascade.isScore))
      scoring match {
        case Seq(Above(ranked)) => 
          Some(Passing(ranked, scoring.head, others.reduceOption(And(_, _)).fold(child)(Filter(_, child))))
        case _ => None
      }
    case _ => None
  }

  /** Whether a WHERE asks for less than every row that a score keeps. */
  def isAsked(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Cascade.isScore(call) && Settings.recall(call) < 1
    case _ => false
  }

  private object Above {
    def unapply(condition: Expression): Option[Ranked] = condition match {
      case GreaterThan(score, least) => served(score, least)
      case GreaterThanOrEqual(score, least) => served(score, least)
      case LessThan(least, score) => served(score, least)
      case LessThanOrEqual(least, score) => served(score, least)
      case _ => None
    }

    private def served(score: Expression, least: Expression): Option[Ranked] = score match {
      case Cast(inner, _, _, _) => served(inner, least)
      case ranked: Ranked if least.foldable && isAsked(ranked.call) => Some(ranked)
      case _ => None
    }
  }
}
