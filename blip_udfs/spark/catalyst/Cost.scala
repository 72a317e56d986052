package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.catalog.HiveTableRelation
import org.apache.spark.sql.catalyst.expressions.{Expression, IntegerLiteral}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.execution.datasources.LogicalRelation
import org.apache.spark.sql.blip.shims.SparkSession

/** An optimized plan -> what to say before it scores more rows than spark.blip.itm.warnRows, by what Spark knows of its
 * tables: ANALYZE TABLE counts their rows, and some formats do. */
object Cost {
  private val mend = s"SET ${Settings.candidatesKey} = 256 scores only the nearest where a query asks for the best k, of " +
    "all rows or of each group"

  /** @param whyNot why candidates that were asked for did not serve it */
  def warning(session: SparkSession, plan: LogicalPlan, whyNot: Option[String]): Option[String] = {
    val most = Settings.warnRows(session)
    scored(plan, None).reduceOption(_ max _).filter(_ > most && most > 0).map { count =>
      val why = whyNot.fold(mend)(reason => s"no candidates serve it: $reason")
      s"ITM will score up to $count rows, more than ${Settings.warnRowsKey} = $most: $why"
    }
  }

  /** The rows of each node that scores some; a LIMIT right above one stops it. */
  private def scored(plan: LogicalPlan, limit: Option[BigInt]): Seq[BigInt] = {
    val here = if (Cascade.scores(plan)) plan.children.flatMap(rows(_)).map(count => limit.fold(count)(_ min count)) else Nil
    val below = plan match {
      case LocalLimit(IntegerLiteral(count), _) => Some(BigInt(count))
      case _: GlobalLimit | _: Project => limit
      case _ => None
    }
    here ++ plan.children.flatMap(scored(_, below)) ++ plan.subqueries.flatMap(scored(_, None))
  }

  /** The most rows that a plan can give, conditions aside, which statistics of a table say nothing of. */
  private def rows(plan: LogicalPlan): Option[BigInt] = {
    val ofNode: Option[BigInt] = plan match {
      case Filter(condition, _) if condition.exists(isOfEach) => None
      case relation: LogicalRelation => relation.catalogTable.flatMap(_.stats).flatMap(_.rowCount)
      case relation: HiveTableRelation => relation.tableMeta.stats.flatMap(_.rowCount)
      case union: Union => union.children.map(rows(_)).reduce((one, other) => for (a <- one; b <- other) yield a + b)
      case join: Join => join.children.flatMap(rows(_)).reduceOption(_ max _)
      case _: Generate | _: Expand => None
      case node: UnaryNode => rows(node.child)
      case _ => None
    }
    (ofNode ++ plan.maxRows.map(BigInt(_)) ++ plan.stats.rowCount).reduceOption(_ min _)
  }

  private def isOfEach(expression: Expression): Boolean = expression match {
    case Marked(_, ofEach) => ofEach
    case _ => false
  }
}
