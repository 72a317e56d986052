package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Alias, AttributeReference, Expression, PythonUDF, ScalarSubquery}
import org.apache.spark.sql.catalyst.plans.logical.{LocalRelation, LogicalPlan, Project, Subquery}
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.blip.shims.SparkSession

/** The embedding of a constant text, and the model's name, become scalar subqueries: made once per query, not per row. */
case class TextOnce(session: SparkSession) extends Rule[LogicalPlan] {
  override def apply(plan: LogicalPlan): LogicalPlan = plan.transformWithSubqueries {
    case node => node.transformExpressions {
      case call: PythonUDF if isConstant(call) && !TextOnce.isOneRow(node) => TextOnce.subquery(session, call)
    }
  }

  private def isConstant(call: PythonUDF): Boolean =
    Manifest.has(call, "text_embed", "model") && call.children.forall(_.foldable)
}

object TextOnce {
  /** What `subquery` makes, which must not be made into a subquery again; over one row nothing is gained anyway. */
  private def isOneRow(node: LogicalPlan): Boolean = node.children match {
    case Seq(rows: LocalRelation) => rows.data.length <= 1
    case _ => false
  }

  /** The value of a call with constant arguments, or with none, as a subquery over one row that holds them. */
  def subquery(session: SparkSession, call: PythonUDF): Expression = subquery(session, row(call))

  /** What a plan of one column and at most one row gives. */
  def subquery(session: SparkSession, plan: LogicalPlan): Expression =
    session.sessionState.optimizer.execute(Subquery(plan, correlated = false)) match {
      case Subquery(optimized, _) => ScalarSubquery(optimized)
      case optimized => ScalarSubquery(optimized)
    }

  /** The same as a plan with one row and one column. */
  def row(call: PythonUDF): LogicalPlan = {
    val columns = call.children.map(each => AttributeReference("argument", each.dataType, each.nullable)())
    // a relation with a row: over OneRowRelation the call would be left in a projection that cannot run it
    val row = LocalRelation(columns, Seq(InternalRow.fromSeq(call.children.map(_.eval()))))
    Project(Seq(Alias(call.withNewChildren(columns), call.name)()), row)
  }
}
