package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Alias, AttributeReference, Expression, PythonUDF, ScalarSubquery}
import org.apache.spark.sql.catalyst.plans.logical.{LocalRelation, LogicalPlan, Project, Subquery}
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.classic.SparkSession

/** The embedding of a constant text becomes a scalar subquery: made once per query, not once per row. */
case class TextOnce(session: SparkSession) extends Rule[LogicalPlan] {
  override def apply(plan: LogicalPlan): LogicalPlan = plan.transformAllExpressionsWithSubqueries {
    case call: PythonUDF if Manifest.has(call, "text_embed") && call.children.forall(_.foldable) =>
      TextOnce.subquery(session, call)
  }
}

object TextOnce {
  /** The value of a call with constant arguments, or with none, as a subquery over one row that holds them. */
  def subquery(session: SparkSession, call: PythonUDF): Expression = {
    val columns = call.children.map(each => AttributeReference("argument", each.dataType, each.nullable)())
    // a relation with a row: over OneRowRelation the call would be left in a projection that cannot run it
    val row = LocalRelation(columns, Seq(InternalRow.fromSeq(call.children.map(_.eval()))))
    val made = Project(Seq(Alias(call.withNewChildren(columns), call.name)()), row)
    session.sessionState.optimizer.execute(Subquery(made, correlated = false)) match {
      case Subquery(optimized, _) => ScalarSubquery(optimized)
      case optimized => ScalarSubquery(optimized)
    }
  }
}
