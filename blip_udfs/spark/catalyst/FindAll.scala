package org.apache.spark.sql.blip

import org.apache.spark.internal.Logging
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.execution.{SparkPlan, SparkStrategy}
import org.apache.spark.sql.blip.shims.SparkSession

/**
 * `WHERE blip_itm(image, 'text') > t` with spark.blip.filter.recall = r < 1: rows whose similarity is below a bound are not
 * scored, and with the probability spark.blip.filter.confidence at least the share r of what it keeps is kept.
 */
case class FindAll(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!Cascade.has(plan, Passing.isAsked)) plan
    else {
      val served = plan.transformUpWithSubqueries {
        case Passing(passing) if passing.whyNot.isEmpty => Found.of(session, passing)
      }
      FindAll.whyNot(served).map(reason => s"${Settings.recallKey} is set, but every row is scored: $reason")
        .filter(WhyNot.isNew(session, _)).foreach(logWarning(_))
      served.transformUpWithSubqueries { case node: UnaryNode => FindAll.known(node) }
    }
}

object FindAll {
  /** Of a WHERE that is left. */
  private def whyNot(plan: LogicalPlan): Option[String] = plan.collectWithSubqueries {
    case Passing(passing) => passing.whyNot
    case Filter(condition, _) if condition.exists(Passing.isAsked) =>
      Some("its WHERE is not one blip_itm(image, 'a text') > a number, alone or with AND")
  }.flatten.headOption

  /** With the score that the rows have in place of a call that would give the same. */
  private def known(node: UnaryNode): LogicalPlan = below(node.child).fold[LogicalPlan](node) { found =>
    node.transformExpressions {
      case Ranked(call, _, _, _, _) if call.canonicalized == found.call.canonicalized => found.score
      case call: PythonUDF if call.canonicalized == found.call.canonicalized => found.score
    }
  }

  private def below(plan: LogicalPlan): Option[Found] = plan match {
    case found: Found => Some(found)
    case Filter(_, child) => below(child)
    case sort: Sort => below(sort.child)
    case Project(list, child) => below(child).filter(found => list.contains(found.score))
    case _ => None
  }
}

/**
 * The rows that a score keeps, and the score.
 *
 * @param rows       the rows that meet the other conditions, and `similarity`
 * @param condition  over `score`
 */
case class Found(
    session: SparkSession, rows: LogicalPlan, similarity: Attribute, call: PythonUDF, condition: Expression, score: Attribute)
  extends LeafNode {

  override def output: Seq[Attribute] = rows.output.filterNot(_ == similarity) :+ score
  override protected def stringArgs: Iterator[Any] = Iterator(condition, Found.shown(call))
  override def innerChildren: Seq[LogicalPlan] = Seq(rows)
  override def computeStats(): Statistics = rows.stats
  override def maxRows: Option[Long] = rows.maxRows
}

object Found {
  def of(session: SparkSession, passing: Passing): LogicalPlan = {
    val (rows, similarity) = Candidates(session).measured(passing.below, passing.ranked)
    val score = AttributeReference(passing.call.name, passing.call.dataType)()
    val condition = passing.condition.transformDown { case _: Ranked => score }
    Found(session, rows, similarity, passing.call, condition, score)
  }

  private[blip] def shown(call: PythonUDF): String =
    s"$call, recall ${Settings.recall(call)} with a confidence of ${Settings.confidence(call)}"
}

object FindAllStrategy extends SparkStrategy {
  override def apply(plan: LogicalPlan): Seq[SparkPlan] = plan match {
    case found: Found => Seq(FoundExec(found))
    case _ => Nil
  }
}
