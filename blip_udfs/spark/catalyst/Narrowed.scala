package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Alias, Attribute, AttributeMap, Expression}
import org.apache.spark.sql.catalyst.plans.JoinType
import org.apache.spark.sql.catalyst.plans.logical._

/**
 * What a query asks of its rows above the WHERE that scores them, for Spark pushes that below joins: a condition, or that
 * a row has a partner in `other`. It comes first: a share is promised of the rows that meet it.
 *
 * @param other the relation, and how it is joined: as a semi or an anti join
 * @param wrong why it cannot come first
 */
case class Narrowed(
    condition: Expression, other: Option[(LogicalPlan, JoinType)] = None, wrong: Option[String] = None) {

  /** Below a projection. */
  def through(list: Project): Narrowed = copy(condition = Cascade.lowered(condition, list, list.child))

  /** On a side of a join; it may need the other one too. */
  def within(side: LogicalPlan): Narrowed =
    if (fits(side)) this else copy(wrong = wrong.orElse(Some(
      "a condition above its join needs columns of both sides; join in a table, and score that")))

  def whyNot(rows: LogicalPlan): Option[String] =
    wrong.orElse(if (fits(rows)) None else Some("a condition needs what is made above its WHERE; expected columns"))

  def of(rows: LogicalPlan): LogicalPlan = other.fold[LogicalPlan](Filter(condition, rows)) { case (plan, kind) =>
    val renamed = plan.output.map(each => Alias(each, each.name)()) // it is joined above once more
    val names = AttributeMap(plan.output.zip(renamed.map(_.toAttribute)))
    val both = condition.transform { case column: Attribute => names.getOrElse(column, column) }
    Join(rows, Project(renamed, plan), kind, Some(both), JoinHint.NONE)
  }

  private def fits(rows: LogicalPlan): Boolean =
    (condition.references -- other.toSeq.flatMap(_._1.output)).subsetOf(rows.outputSet)
}
