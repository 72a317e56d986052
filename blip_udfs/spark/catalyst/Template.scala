package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.analysis.{NamedParameter, UnresolvedRelation}
import org.apache.spark.sql.catalyst.expressions.Literal
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, UnresolvedWith}

/** A parsed query whose relations are put in by name: no quoting, whatever they are. */
object Template {
  /** The plan with relations, and with texts for `:name`; a WITH keeps its queries outside of a plan's children. */
  def filled(plan: LogicalPlan, relations: Map[String, LogicalPlan], texts: Map[String, String] = Map.empty): LogicalPlan =
    plan.transformWithSubqueries {
      case relation: UnresolvedRelation if relations.contains(relation.name) => relations(relation.name)
      case query: UnresolvedWith =>
        query.copy(cteRelations = query.cteRelations.map { each =>
          each.copy(_2 = each._2.copy(child = filled(each._2.child, relations, texts)))
        })
      case other => other.transformExpressions { case NamedParameter(name) if texts.contains(name) => Literal(texts(name)) }
    }
}
