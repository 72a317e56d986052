package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Alias, Expression}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project, Repartition}
import org.apache.spark.sql.blip.shims.SparkSession

/** The rows of a relation that ITM scores in place of all, in an optimized plan. */
case class Candidates(session: SparkSession) {
  /** The `wanted` nearest rows of `below`, or of each of its groups, with its columns, spread over all cores. */
  def apply(below: LogicalPlan, ranked: Ranked, wanted: Int, groups: Seq[Expression] = Nil): LogicalPlan = {
    def constant(role: String, arguments: Expression*): Expression =
      TextOnce.subquery(session, ScalarFunction.beside(ranked.score, Manifest.withRole(role), arguments))
    val Seq(image, text) = ranked.score.children
    val columns = ranked.names.zip(ranked.columns).toMap
    val newest = ranked.newest.map(plan => renamed(session.sessionState.executePlan(plan).optimizedPlan))
    val nearest = Nearest(below, image, columns, newest, constant("text_embed", text), constant("model"))
    val chosen =
      if (groups.isEmpty) nearest.nearest(wanted)
      else nearest.ofEach(groups, wanted, TextOnce.subquery(session, _))
    Repartition(session.sparkContext.defaultParallelism, shuffle = true, Project(below.output, chosen))
  }

  /** Of columns of its own: the optimizer has made the relation's of them, which a join cannot have twice. */
  private def renamed(plan: LogicalPlan): LogicalPlan = Project(plan.output.map(each => Alias(each, each.name)()), plan)
}
