package org.apache.spark.sql.blip

import org.apache.spark.internal.Logging
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.optimizer.{ColumnPruning, RemoveNoopOperators}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.blip.shims.SparkSession

/**
 * BLIP's retrieval protocol under `ORDER BY blip_itm(image, 'text') DESC LIMIT k`: of the rows that pass the WHERE, only
 * the N nearest by stored embedding are scored by ITM, or the N nearest of each group that Groups finds. N is
 * spark.blip.search.candidates; 0 leaves every plan alone.
 */
case class Cascade(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  import Cascade._

  private val candidates = Candidates(session)

  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!has(plan, isScore)) plan
    else {
      val (served, whyNot) = if (has(plan, isAsked)) cascaded(plan) else (plan, None)
      val notServed = whyNot.map { case (wanted, reason) => s"$key = $wanted, but every row is scored: $reason" }
      (notServed ++ Cost(session).warning(served, whyNot.map(_._2))).filter(WhyNot.isNew(session, _)).foreach(logWarning(_))
      if (has(served, _.isInstanceOf[Ranked])) pruned(served.transformWithSubqueries { case node => unranked(node) })
      else served
    }

  /** With candidates where they serve; with their number, why they do not elsewhere. */
  private def cascaded(plan: LogicalPlan): (LogicalPlan, Option[(Int, String)]) = {
    val served = plan.transformWithSubqueries {
      case top @ Top(limit, sort) =>
        rewritten(sort, limit).fold(identity[LogicalPlan](top))(better => top.transform { case `sort` => better })
      case node @ Groups(best) if best.whyNot.isEmpty =>
        node.transform { case each if each eq best.node => ofGroups(best) }
    }
    served -> WhyNot(served, any = served ne plan)
  }

  /** The sort over candidates alone; None where the rule does not apply. */
  private def rewritten(sort: Sort, limit: Int): Option[LogicalPlan] = {
    val child = PulledUp(sort.child)
    for {
      score <- scoreOf(sort.order.head, child)
      wanted = Settings.candidates(score.score)
      if score.whyNot.isEmpty && wanted > limit
      below = belowScores(child)
      if !below.exists(scores) && score.references.subsetOf(below.outputSet)
    } yield plain(sort.withNewChildren(Seq(replaced(child, below, candidates(below, score, wanted)))))
  }

  private def ofGroups(best: Groups): LogicalPlan = {
    val score = best.score.get
    best.over(candidates(best.below, score, Settings.candidates(score.score), best.keys))
  }
}

object Cascade {
  private[blip] val key = Settings.candidatesKey

  /** Without the columns that nothing above needs any more. */
  private[blip] def pruned(plan: LogicalPlan): LogicalPlan = RemoveNoopOperators(ColumnPruning(plan))

  /** With the score itself, whose rows are candidates now, in place of what was ranked. */
  private[blip] def plain(plan: LogicalPlan): LogicalPlan = plan match {
    case node @ (_: Sort | _: Window | _: Aggregate | _: Project) => unranked(node).mapChildren(plain)
    case other => other
  }

  private[blip] def unranked(node: LogicalPlan): LogicalPlan =
    node.transformExpressions { case score: Ranked => score.call }

  private[blip] def replaced(plan: LogicalPlan, old: LogicalPlan, better: LogicalPlan): LogicalPlan =
    if (plan eq old) better else plan.withNewChildren(plan.children.map(replaced(_, old, better)))

  /** An expression over what `plan` gives as one over what `below` gives, through the projections between. */
  private[blip] def lowered(expression: Expression, plan: LogicalPlan, below: LogicalPlan): Expression = plan match {
    case Project(list, child) if plan ne below =>
      val made = AttributeMap(list.collect { case alias: Alias => alias.toAttribute -> alias.child })
      val deeper = expression.transform { case column: Attribute => made.getOrElse(column, column) }
      lowered(deeper, child, below)
    case _ => expression
  }

  private[blip] def has(plan: LogicalPlan, is: Expression => Boolean): Boolean =
    plan.collectWithSubqueries { case node if node.expressions.exists(_.exists(is)) => node }.nonEmpty

  private[blip] def scores(node: LogicalPlan): Boolean = node.expressions.exists(_.exists(isScore))

  /** A score that candidates were asked for. */
  private[blip] def isAsked(expression: Expression): Boolean = expression match {
    case call: PythonUDF => isScore(call) && Settings.candidates(call) > 0
    case _ => false
  }

  private[blip] def isScore(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Manifest.has(call, "itm_score", "itm_logit")
    case _ => false
  }

  /** The ranked score that a sort key is, through aliases below; None unless it is DESC NULLS LAST with a constant text. */
  private def scoreOf(order: SortOrder, plan: LogicalPlan): Option[Ranked] =
    if (order.direction != Descending || order.nullOrdering != NullsLast) None
    else resolved(order.child, plan) match {
      case ranked: Ranked if isConstant(ranked.score.children(1)) => Some(ranked)
      case _ => None
    }

  private def isConstant(text: Expression): Boolean = text.foldable && text.eval() != null

  private[blip] def resolved(expression: Expression, plan: LogicalPlan): Expression = (expression, plan) match {
    case (name: Attribute, Project(list, child)) =>
      list.collectFirst { case alias: Alias if alias.exprId == name.exprId => resolved(alias.child, child) }
        .getOrElse(resolved(name, child))
    case (other, _) => other
  }

  /** The plan below the projections that compute scores. */
  private[blip] def belowScores(plan: LogicalPlan): LogicalPlan = plan match {
    case Project(list, child) if list.exists(_.exists(isScore)) => child
    case Project(list, child) if list.forall(_.deterministic) && child.exists(scores) => belowScores(child)
    case other => other
  }

  /** LIMIT k [OFFSET o] over ORDER BY: how many rows are asked of the sort, and the sort. */
  private[blip] object Top {
    def unapply(plan: LogicalPlan): Option[(Int, Sort)] = plan match {
      case GlobalLimit(_, LocalLimit(IntegerLiteral(rows), child)) => sorted(child).map(rows -> _)
      case GlobalLimit(IntegerLiteral(rows), Offset(IntegerLiteral(skipped), child)) => child match {
        case LocalLimit(_, deeper) => sorted(deeper).map(rows + skipped -> _)
        case deeper => sorted(deeper).map(rows + skipped -> _)
      }
      case _ => None
    }

    private def sorted(plan: LogicalPlan): Option[Sort] = plan match {
      case sort: Sort if sort.global => Some(sort)
      case Project(_, child) => sorted(child)
      case _ => None
    }
  }
}
