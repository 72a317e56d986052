package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Alias, Attribute, NamedExpression, PythonUDF}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project, Union}

/** A ranked score that the optimizer has pushed below a union, above it again: its candidates are rows of the union. */
object PulledUp {
  def apply(plan: LogicalPlan): LogicalPlan = plan match {
    case Project(list, child) => Project(list, apply(child))
    case union: Union => scored(union).fold[LogicalPlan](union) { case (place, scores) => above(union, place, scores) }
    case other => other
  }

  /** Which column is the one score of every part. */
  private def scored(union: Union): Option[(Int, Seq[Ranked])] = {
    val parts = union.children.map {
      case Project(list, _) => list.zipWithIndex.collect { case (Alias(score: Ranked, _), place) => place -> score }
      case _ => Nil
    }
    if (parts.forall(_.size == 1) && parts.forall(part => isSame(part.head, parts.head.head)))
      Some(parts.head.head._1 -> parts.map(_.head._2))
    else None
  }

  private def isSame(one: (Int, Ranked), other: (Int, Ranked)): Boolean = {
    def call(score: PythonUDF): Any =
      (score.func.command, score.children.head.dataType, score.children.tail.map(_.canonicalized))
    def rest(score: Ranked): Any = (score.names, score.whyNot, score.newest.map(_.canonicalized), call(score.score))
    one._1 == other._1 && rest(one._2) == rest(other._2)
  }

  private def above(union: Union, place: Int, scores: Seq[Ranked]): LogicalPlan = {
    val parts = union.children.zip(scores).map { case (part, score) =>
      val Project(list, child) = part
      val needed = (score.score.children.head +: score.columns).map(each => Alias(each, "blip_column")(): NamedExpression)
      Project(list.patch(place, Nil, 1) ++ needed, child)
    }
    val wide = union.copy(children = parts)
    val needed: Seq[Attribute] = wide.output.drop(union.output.size - 1)
    val call = scores.head.score
    val score = scores.head.copy(call = call.withNewChildren(needed.head +: call.children.tail), columns = needed.tail)
    val column = union.output(place)
    Project(union.output.patch(place, Seq(Alias(score, column.name)(exprId = column.exprId)), 1), wide)
  }
}
