package org.apache.spark.sql.blip

import java.util.{Collections, Set => JSet, WeakHashMap}
import java.util.concurrent.ConcurrentHashMap

import org.apache.spark.sql.catalyst.expressions.{Ascending, Attribute, Expression, NullsFirst, PythonUDF}
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Sort}
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.internal.SQLConf

/** A plan that scores rows -> why the cascade does not serve it; None when it scores none. */
class WhyNot(conf: SQLConf, candidates: Int) {
  import Cascade._

  def apply(plan: LogicalPlan): Option[String] =
    if (!plan.exists(scores) || isSearch(plan)) None else Some(ofTop(plan.collect { case Top(limit, sort) => (limit, sort) }))

  /** Of several tops the one that orders by a score is meant. */
  private def ofTop(tops: Seq[(Int, Sort)]): String = tops.sortBy { case (_, sort) => scored(sort).isEmpty }.headOption match {
    case None => "it has no ORDER BY with a LIMIT; expected ORDER BY blip_itm(image, 'a text') DESC LIMIT k"
    case Some((limit, sort)) => scored(sort) match {
      case None => "its first ORDER BY key is not blip_itm(image, 'a text') itself"
      case Some(call) => ofKey(call, sort).getOrElse(ofRows(limit, sort))
    }
  }

  private def ofKey(call: PythonUDF, sort: Sort): Option[String] = {
    val order = sort.order.head
    if (order.direction == Ascending) Some("it orders the lowest scores first; expected DESC")
    else if (order.nullOrdering == NullsFirst) Some("it orders NULLS FIRST; expected NULLS LAST, which DESC means")
    else if (!call.children(1).foldable) Some("its text differs from row to row; expected a constant")
    else if (call.children(1).eval() == null) Some("its text is NULL")
    else None
  }

  private def ofRows(limit: Int, sort: Sort): String = {
    val below = belowScores(sort.child)
    if (limit >= candidates) s"it asks for $limit rows (LIMIT + OFFSET); expected fewer than candidates, SET $key to more"
    else if (below.exists(scores)) "its WHERE scores rows; expected conditions on other columns"
    else ofColumn(below)
  }

  private def ofColumn(below: LogicalPlan): String = {
    val name = conf.getConfString(columnKey, "embedding")
    val named = below.collect { case node => node.output.filter(each => conf.resolver(each.name, name)) }.flatten
    val fitting = named.filter(isVector).map(_.exprId).distinct
    if (named.isEmpty) s"no column $name ARRAY<FLOAT> is there; SET $columnKey to the one that holds embeddings"
    else if (fitting.isEmpty) s"its column $name is ${named.head.dataType.sql}; expected ARRAY<FLOAT>"
    else if (fitting.length > 1) s"${fitting.length} relations have a column $name; expected one, select it in a subquery"
    else s"a subquery leaves out the column $name; select it there"
  }

  private def scored(sort: Sort): Option[PythonUDF] = resolved(sort.order.head.child, sort.child) match {
    case call: PythonUDF if isScore(call) => Some(call)
    case _ => None
  }
}

object WhyNot {
  private val said = Collections.synchronizedMap(new WeakHashMap[SparkSession, JSet[String]])

  /** Whether a session hears this for the first time: a plan is optimized more than once per query. */
  def isNew(session: SparkSession, reason: String): Boolean =
    said.computeIfAbsent(session, _ => ConcurrentHashMap.newKeySet[String]()).add(reason)
}
