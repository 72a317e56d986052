package org.apache.spark.sql.blip

import java.util.{Collections, Set => JSet, WeakHashMap}
import java.util.concurrent.ConcurrentHashMap

import org.apache.spark.sql.catalyst.expressions.{Ascending, Attribute, Expression, NullsFirst, PythonUDF, SortOrder}
import org.apache.spark.sql.catalyst.plans.logical.{Filter, LogicalPlan, Sort}
import org.apache.spark.sql.blip.shims.SparkSession

/** A plan that scores rows -> why the cascade does not serve it; None when it scores none. */
object WhyNot {
  import Cascade._

  private val said = Collections.synchronizedMap(new WeakHashMap[SparkSession, JSet[String]])

  /** Whether a session hears this for the first time: a plan is optimized more than once per query. */
  def isNew(session: SparkSession, warning: String): Boolean =
    said.computeIfAbsent(session, _ => ConcurrentHashMap.newKeySet[String]()).add(warning)

  /** With the number of candidates that was asked for; where `any` of a plan was served, of its other tops by a score. */
  def apply(plan: LogicalPlan, any: Boolean): Option[(Int, String)] = {
    val calls = plan.collectWithSubqueries { case node =>
      node.expressions.flatMap(_.collect { case call: PythonUDF if isAsked(call) => call })
    }
    val tops = plan.collectWithSubqueries { case Top(limit, sort) => (limit, sort) }
    val ranked = tops.filter { case (_, sort) => keyOf(sort).isInstanceOf[Ranked] }
    val ofGroups = plan.collectWithSubqueries { case Groups(best) => best.whyNot }.flatten
    val reason = ranked.headOption.map(ofTop).orElse(ofGroups.headOption)
    calls.flatten.headOption.filter(_ => reason.isDefined || !any && !isSearch(plan)).map { call =>
      Settings.candidates(call) -> reason.orElse(tops.headOption.map(ofTop)).getOrElse(noTop)
    }
  }

  /** blip_search and search() choose candidates by themselves. */
  private[blip] def isSearch(plan: LogicalPlan): Boolean = plan.exists(_.output.exists(_.name == "blip_similarity"))

  private def keyOf(sort: Sort): Expression = resolved(sort.order.head.child, PulledUp(sort.child))

  private val noTop = "it has no ORDER BY with a LIMIT; expected ORDER BY blip_itm(image, 'a text') DESC LIMIT k"

  private def ofTop(top: (Int, Sort)): String = {
    val (limit, sort) = top
    keyOf(sort) match {
      case ranked: Ranked => ofKey(ranked.score, sort.order.head).getOrElse(ofRows(ranked, limit, sort))
      case _ => "its first ORDER BY key is not blip_itm(image, 'a text') itself"
    }
  }

  def ofKey(call: PythonUDF, order: SortOrder): Option[String] =
    if (order.direction == Ascending) Some("it orders the lowest scores first; expected DESC")
    else if (order.nullOrdering == NullsFirst) Some("it orders NULLS FIRST; expected NULLS LAST, which DESC means")
    else ofText(call)

  def ofText(call: PythonUDF): Option[String] =
    if (!call.children(1).foldable) Some("its text differs from row to row; expected a constant")
    else if (call.children(1).eval() == null) Some("its text is NULL")
    else None

  private def ofRows(ranked: Ranked, limit: Int, sort: Sort): String = {
    val below = belowScores(PulledUp(sort.child))
    if (limit >= Settings.candidates(ranked.score))
      s"it asks for $limit rows (LIMIT + OFFSET); expected fewer than candidates, SET $key to more"
    else ranked.whyNot.getOrElse(below match {
      case _: Filter if below.exists(scores) => "its WHERE scores rows; expected conditions on other columns"
      case other => s"between its scores and its ORDER BY is a ${other.nodeName}; score, order and limit in one subquery"
    })
  }

  /** Why the columns that a query's author sees beside a scored image give no candidates; None where they do. */
  def ofColumns(call: PythonUDF, relation: LogicalPlan): Option[String] = {
    val name = Settings.embeddingColumn(call)
    call.children.head match {
      case image: Attribute if Visible.isColumn(relation, image) => ofEmbedding(relation, image, name)
      case _ => Some(s"its image is made by an expression; expected a column, of which the column $name is the embedding")
    }
  }

  private def ofEmbedding(relation: LogicalPlan, image: Attribute, name: String): Option[String] = {
    val there = Visible.named(relation, name)
    val vectors = there.filter(each => Visible.isVector(each.dataType))
    val fitting = Visible.fitting(relation, image, name, Visible.isVector)
    if (fitting.size == 1) None
    else if (fitting.size > 1) Some(s"${fitting.size} columns $name are beside its image; expected one")
    else if (vectors.nonEmpty)
      Some(s"its column $name is of another relation than its image; score the image of the one that has it")
    else if (there.nonEmpty) Some(s"its column $name is ${there.head.dataType.sql}; expected ARRAY<FLOAT>")
    else if (relation.exists(Visible.named(_, name).nonEmpty)) Some(s"a subquery leaves out the column $name; select it there")
    else Some(s"no column $name ARRAY<FLOAT> is there; SET ${Settings.columnKey} to the one that holds embeddings")
  }
}
