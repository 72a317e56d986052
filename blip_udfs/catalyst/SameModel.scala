package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.{AggregateExpression, Complete, Max}
import org.apache.spark.sql.catalyst.plans.logical.{Filter, LogicalPlan, Project, Window}
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.types.BooleanType

/** Embeddings of another model than the session's cannot be compared: their rows are no candidates. */
class SameModel(session: SparkSession, stored: Attribute) {
  private val ours: Expression = TextOnce.subquery(
    session, ScalarFunction.call(Manifest.withRole("model"), Nil).asInstanceOf[PythonUDF])

  /** True for rows of another model; a row that names none is taken as it is. */
  val isOther: Expression = Coalesce(Seq(Not(EqualTo(stored, ours)), Literal.FalseLiteral))

  /** Candidates, those of other models last, without these; an error that names both models if none is left. */
  def check(candidates: LogicalPlan): LogicalPlan = {
    val any = Alias(overAll(Max(Not(isOther))), "blip_any")()
    val other = Alias(overAll(Max(stored)), "blip_other")()
    val message = Concat(Seq(
      Literal("no row has an embedding of the session's model "), ours, Literal("; they were made by "),
      other.toAttribute, Literal(": SET spark.blip.model to that one, or embed the images again")))
    val failure = RaiseError(
      Literal("USER_RAISED_EXCEPTION"), CreateMap(Seq(Literal("errorMessage"), message)), BooleanType)
    val kept = If(any.toAttribute, Not(isOther), failure)
    Project(candidates.output, Filter(kept, Window(Seq(any, other), one, Nil, candidates)))
  }

  private val one = Seq(Literal(1)) // candidates are in one partition already: Spark would warn of none

  private def overAll(function: Max): Expression = WindowExpression(
    AggregateExpression(function, Complete, isDistinct = false),
    WindowSpecDefinition(one, Nil, SpecifiedWindowFrame(RowFrame, UnboundedPreceding, UnboundedFollowing)))
}
