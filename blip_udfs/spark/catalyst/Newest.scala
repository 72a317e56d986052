package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.Max
import org.apache.spark.sql.catalyst.plans.LeftOuter
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.types.StringType

/**
 * A table keeps the rows of an image that was embedded again, its versions counted from 1: image, model -> the newest.
 * Only images that have more than one are in it, so that it is small where little has changed.
 */
object Newest {
  /** Of the relation that the columns come from, below every WHERE, which must not bring an old version back; a view's
   * own is part of what it is. None where images have no versions, or are bytes and so have no name. */
  def of(
      plan: LogicalPlan, image: Attribute, columns: Seq[(String, Attribute)], ctes: Seq[CTERelationDef]): Option[LogicalPlan] =
    columns.collectFirst { case ("version", version) if image.dataType.isInstanceOf[StringType] =>
      val key = image +: columns.collect { case ("model", model) => model }
      val relation = below(plan, key :+ version, image)
      val versions = Alias(Max(version).toAggregateExpression(), "version")()
      val later = Filter(GreaterThan(version, Literal(1)), relation)
      withCtes(Aggregate(key, key.map(each => Alias(each, each.name)()) :+ versions, later), ctes)
    }

  private def below(plan: LogicalPlan, columns: Seq[Attribute], image: Attribute): LogicalPlan = {
    def has(child: LogicalPlan): Boolean = columns.forall(child.outputSet.contains)
    plan match {
      case join: Join => Visible.sideOf(join, image).filter(has).fold(plan)(below(_, columns, image))
      case node @ (_: Filter | _: Project | _: SubqueryAlias | _: Sort | _: ResolvedHint) if has(node.children.head) =>
        below(node.children.head, columns, image)
      case _ => plan
    }
  }

  /** With the CTEs that it reads, for they stand outside of the plans that read them. */
  private def withCtes(plan: LogicalPlan, all: Seq[CTERelationDef]): LogicalPlan = {
    def read(plan: LogicalPlan): Set[Long] =
      plan.collectWithSubqueries { case each: CTERelationRef => each.cteId }.toSet --
        plan.collectWithSubqueries { case each: CTERelationDef => each.id }
    def closed(known: Set[Long]): Set[Long] = {
      val more = known ++ all.filter(each => known.contains(each.id)).flatMap(each => read(each.child))
      if (more == known) known else closed(more)
    }
    val needed = closed(read(plan))
    if (needed.isEmpty) plan else WithCTE(plan, all.filter(each => needed.contains(each.id)))
  }

  private[blip] val toEveryTask = JoinHint(None, Some(HintInfo(strategy = Some(BROADCAST))))

  /** `rows` with whether a row is older than its image's newest; `newest` is sent to every task, no row is moved. */
  def joined(rows: LogicalPlan, newest: LogicalPlan, image: Expression, model: Option[Expression], version: Expression)
      : (LogicalPlan, Expression) = {
    val keys = (image +: model.toSeq).zip(newest.output).map { case (left, right) => EqualNullSafe(left, right) }
    val wide = Join(rows, newest, LeftOuter, Some(keys.reduce[Expression](And(_, _))), toEveryTask)
    (wide, Coalesce(Seq(LessThan(version, newest.output.last), Literal.FalseLiteral)))
  }
}
