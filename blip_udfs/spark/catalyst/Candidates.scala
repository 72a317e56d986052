package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Alias, Attribute, Expression}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project, Repartition}
import org.apache.spark.sql.blip.shims.SparkSession

/** The rows of a relation that ITM scores in place of all, in an optimized plan. */
case class Candidates(session: SparkSession) {
  /** The `wanted` nearest rows of `below`, or of each of its groups, with its columns, spread over all cores. */
  def apply(below: LogicalPlan, ranked: Ranked, wanted: Int, groups: Seq[Expression] = Nil): LogicalPlan = {
    val near = nearest(below, ranked)
    val chosen =
      if (groups.isEmpty) near.nearest(wanted)
      else near.ofEach(groups, wanted, TextOnce.subquery(session, _))
    Repartition(session.sparkContext.defaultParallelism, shuffle = true, Project(below.output, chosen))
  }

  /** All rows of `below` and their similarity to the text, NULL of those that are no candidates. */
  def measured(below: LogicalPlan, ranked: Ranked): (LogicalPlan, Attribute) = nearest(below, ranked).every

  private def nearest(below: LogicalPlan, ranked: Ranked): Nearest = {
    def constant(role: String, arguments: Expression*): Expression =
      TextOnce.subquery(session, ScalarFunction.beside(ranked.score, Manifest.withRole(role), arguments))
    val Seq(image, text) = ranked.score.children
    val columns = ranked.names.zip(ranked.columns).toMap
    val newest = ranked.newest.map(plan => renamed(session.sessionState.executePlan(plan).optimizedPlan))
    Nearest(below, image, columns, newest, constant("text_embed", text), constant("model"))
  }

  /** Of columns of its own: the optimizer has made the relation's of them, which a join cannot have twice. */
  private def renamed(plan: LogicalPlan): LogicalPlan = Project(plan.output.map(each => Alias(each, each.name)()), plan)
}
