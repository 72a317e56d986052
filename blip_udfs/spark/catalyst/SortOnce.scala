package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Alias, Expression, NamedExpression, PythonUDF, SortOrder}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule

/**
 * Spark runs what is below a sort of all rows twice, once to find the ranges of its partitions. Under ours lies a shuffle,
 * whose files are read twice in place of that: each row is scored once.
 */
object SortOnce extends Rule[LogicalPlan] {
  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!Cascade.has(plan, isOurs)) plan
    else {
      val ofTops = plan.collectWithSubqueries { case Cascade.Top(_, sort) => sort } // which Spark runs without ranges
      plan.transformUpWithSubqueries {
        case sort: Sort if sort.global && !ofTops.exists(_.canonicalized == sort.canonicalized) && runs(sort) =>
          once(sort, sort.order)((child, order) => Sort(order, global = true, child))
        case ranges: RepartitionByExpression if ranges.partitionExpressions.exists(_.isInstanceOf[SortOrder]) && runs(ranges) =>
          once(ranges, ranges.partitionExpressions) { (child, by) => ranges.copy(partitionExpressions = by, child = child) }
      }
    }

  private def once[E <: Expression](node: UnaryNode, keys: Seq[E])(over: (LogicalPlan, Seq[E]) => LogicalPlan): LogicalPlan = {
    val calls = keys.flatMap(_.collect { case call: PythonUDF => call }).groupBy(_.canonicalized).values.map(_.head).toSeq
    val made = calls.map(call => Alias(call, call.name)())
    val wide = if (made.isEmpty) node.child else Project(node.child.output ++ made, node.child)
    val plainKeys = keys.map(_.transform { case call: PythonUDF =>
      made.find(_.child.canonicalized == call.canonicalized).get.toAttribute
    }.asInstanceOf[E])
    val sorted = over(RepartitionByExpression(Nil, wide, None), plainKeys)
    if (made.isEmpty) sorted else Project(node.output: Seq[NamedExpression], sorted)
  }

  /** Whether a function of ours runs below, with no shuffle between. */
  private def runs(node: LogicalPlan): Boolean = node.expressions.exists(_.exists(isOurs)) || node.children.exists {
    case parts: RepartitionOperation if parts.shuffle => false
    case _: Aggregate | _: GlobalLimit | _: Window => false
    case sort: Sort if sort.global => false
    case other => runs(other)
  }

  private def isOurs(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Command.name(call).isDefined
    case _ => false
  }
}
