package org.apache.spark.sql.blip

import org.apache.spark.internal.Logging
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.optimizer.{ColumnPruning, RemoveNoopOperators}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.blip.shims.SparkSession

/**
 * BLIP's retrieval protocol under `ORDER BY blip_itm(image, 'text') DESC LIMIT k`: of the rows that pass the WHERE, only
 * the N nearest by stored embedding are scored by ITM. N is spark.blip.search.candidates; 0 leaves every plan alone.
 */
case class Cascade(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  import Cascade._

  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!has(plan, isAsked)) plan
    else {
      val served = plan.transformWithSubqueries { case top @ Top(limit, sort) =>
        rewritten(sort, limit).fold(identity[LogicalPlan](top))(better => top.transform { case `sort` => better })
      }
      WhyNot(served, any = served ne plan).filter { case (_, reason) => WhyNot.isNew(session, reason) }.foreach {
        case (wanted, reason) => logWarning(s"$key = $wanted, but every row is scored: $reason")
      }
      if (has(served, _.isInstanceOf[Ranked])) pruned(served.transformWithSubqueries { case node => unranked(node) })
      else served
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

  /** With the score itself, whose rows are candidates now, in place of what was ranked. */
  private def plain(plan: LogicalPlan): LogicalPlan = plan match {
    case node @ (_: Sort | _: Project) => unranked(node).mapChildren(plain)
    case other => other
  }

  private def unranked(node: LogicalPlan): LogicalPlan = node.transformExpressions { case score: Ranked => score.call }

  private def replaced(plan: LogicalPlan, old: LogicalPlan, better: LogicalPlan): LogicalPlan =
    if (plan eq old) better else plan.withNewChildren(plan.children.map(replaced(_, old, better)))

  /** The nearest rows of `below`, with its columns, spread over all cores. */
  private def candidates(below: LogicalPlan, ranked: Ranked, wanted: Int): LogicalPlan = {
    def constant(role: String, arguments: Expression*): Expression =
      TextOnce.subquery(session, ScalarFunction.beside(ranked.score, Manifest.withRole(role), arguments))
    val Seq(image, text) = ranked.score.children
    val columns = ranked.names.zip(ranked.columns).toMap
    val newest = ranked.newest.map(plan => renamed(session.sessionState.executePlan(plan).optimizedPlan))
    val chosen = Nearest(below, image, columns, newest, constant("text_embed", text), constant("model")).nearest(wanted)
    Repartition(session.sparkContext.defaultParallelism, shuffle = true, Project(below.output, chosen))
  }

  /** Of columns of its own: the optimizer has made the relation's of them, which a join cannot have twice. */
  private def renamed(plan: LogicalPlan): LogicalPlan = Project(plan.output.map(each => Alias(each, each.name)()), plan)
}

object Cascade {
  private[blip] val key = Settings.candidatesKey

  /** Without the columns that nothing above needs any more. */
  private[blip] def pruned(plan: LogicalPlan): LogicalPlan = RemoveNoopOperators(ColumnPruning(plan))

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
