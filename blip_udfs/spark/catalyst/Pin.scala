package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule

/**
 * A score that may be ranked by candidates gets the columns by which they are found, at analysis: those that the query's
 * author sees beside the image that is scored. What lies below a subquery, a view or a CTE is no longer told from that
 * in the optimizer, which merges them.
 */
object Pin extends Rule[LogicalPlan] {
  override def apply(plan: LogicalPlan): LogicalPlan = {
    lazy val ctes = plan.collectWithSubqueries { case each: CTERelationDef => each }
    plan.resolveOperatorsUpWithPruning(_ => true) {
      case project: Project if project.resolved && project.projectList.exists(aliased(_).isDefined) =>
        val wide = widened(project, project.projectList.flatMap(aliased(_)).head)
        Project(project.projectList.map { each =>
          aliased(each).fold(each)(call => each.withNewChildren(Seq(ranked(call, wide, ctes))).asInstanceOf[NamedExpression])
        }, wide)
      case group: Aggregate if group.resolved && group.aggregateExpressions.exists(_.exists(isAskedOf)) =>
        group.copy(aggregateExpressions = group.aggregateExpressions.map(_.transform { case function: AggregateExpression =>
          pinned(function, ranked(_, group.child, ctes))
        }.asInstanceOf[NamedExpression]))
      case filter: Filter if filter.resolved && filter.condition.exists(Passing.isAsked) =>
        filter.copy(condition = pinned(filter.condition, ranked(_, filter.child, ctes), Passing.isAsked))
      case sort: Sort if sort.resolved && sort.global =>
        asked(sort.order.head.child).fold[LogicalPlan](sort)(sorted(sort, _, ctes))
    }
  }

  private def aliased(expression: NamedExpression): Option[PythonUDF] = expression match {
    case Alias(child, _) => asked(child, each => Cascade.isAsked(each) || Passing.isAsked(each))
    case _ => None
  }

  private def isAskedOf(expression: Expression): Boolean = expression match {
    case function: AggregateExpression => function.exists(asked(_).isDefined)
    case _ => false
  }

  private def pinned(
      expression: Expression, ranked: PythonUDF => Ranked, is: Expression => Boolean = Cascade.isAsked): Expression =
    expression match {
      case done: Ranked => done
      case other => asked(other, is).fold(other.mapChildren(pinned(_, ranked, is)))(ranked)
    }

  private def asked(expression: Expression, is: Expression => Boolean = Cascade.isAsked): Option[PythonUDF] = expression match {
    case call: PythonUDF if is(call) => Some(call)
    case _ => None
  }

  /** ORDER BY sees the SELECT list first, then what that selects from: so its embedding is found. */
  private def sorted(sort: Sort, call: PythonUDF, ctes: Seq[CTERelationDef]): LogicalPlan = {
    val wide = widened(sort, call)
    val key = ranked(call, wide, ctes)
    val order = sort.order.head.copy(child = key) +: sort.order.tail
    val more = key.references.toSeq.filterNot(sort.child.outputSet.contains)
    (wide, more) match {
      case (Project(list, child), Seq(_, _*)) =>
        val needed = list.filter(each => sort.child.outputSet.contains(each.toAttribute) || more.contains(each))
        Project(sort.output, Sort(order, global = true, Project(needed, child)))
      case _ => sort.copy(order = order)
    }
  }

  /** A SELECT list below in the same statement, as ORDER BY and QUALIFY have one, with what it leaves out. */
  private def widened(node: UnaryNode, call: PythonUDF): LogicalPlan = node.child match {
    case project @ Project(list, child) if isOneStatement(node, project) =>
      val wanted = Visible.names(Settings.embeddingColumn(call)).filter(Visible.named(project, _).isEmpty)
      Project(list ++ wanted.flatMap(Visible.named(child, _)), child)
    case other => other
  }

  /** By SQL's ORDER BY, not by a DataFrame's, which sees what select or drop has left. */
  private def isOneStatement(nodes: LogicalPlan*): Boolean = nodes.forall(_.origin.line.isDefined)

  private def ranked(call: PythonUDF, relation: LogicalPlan, ctes: Seq[CTERelationDef]): Ranked =
    WhyNot.ofColumns(call, relation) match {
      case Some(reason) => Ranked(call, Nil, Nil, None, Some(reason))
      case None =>
        val image = call.children.head.asInstanceOf[Attribute]
        val (names, columns) = Visible.columns(relation, image, Settings.embeddingColumn(call)).unzip
        Ranked(call, columns, names, Newest.of(relation, image, names.zip(columns), ctes), None)
    }
}
