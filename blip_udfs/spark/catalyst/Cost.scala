package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.catalog.{CatalogTable, HiveTableRelation}
import org.apache.spark.sql.catalyst.expressions.{Expression, IntegerLiteral}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.execution.datasources.{HadoopFsRelation, LogicalRelation, PruneFileSourcePartitions}
import org.apache.spark.sql.blip.shims.SparkSession

/** An optimized plan -> what to say before it scores more rows than spark.blip.itm.warnRows, by what Spark knows of its
 * tables: ANALYZE TABLE counts their rows, and some formats do. */
case class Cost(session: SparkSession) {
  private val mend = s"SET ${Settings.candidatesKey} = 256 scores only the nearest where a query asks for the best k, of " +
    "all rows or of each group"

  /** @param whyNot why candidates that were asked for did not serve it */
  def warning(plan: LogicalPlan, whyNot: Option[String]): Option[String] = {
    val most = Settings.warnRows(session)
    def tooMany(plan: LogicalPlan): Option[BigInt] = scored(plan, None).reduceOption(_ max _).filter(_ > most)
    if (most == 0) None
    else tooMany(plan).flatMap(_ => tooMany(PruneFileSourcePartitions(plan))).map { count => // which Spark does later
      val why = whyNot.fold(mend)(reason => s"no candidates serve it: $reason")
      s"ITM will score up to $count rows, more than ${Settings.warnRowsKey} = $most: $why"
    }
  }

  /** The rows of each node that scores some; a LIMIT right above a SELECT stops it. */
  private def scored(plan: LogicalPlan, limit: Option[BigInt]): Seq[BigInt] = {
    val (most, below) = plan match {
      case LocalLimit(IntegerLiteral(count), _) => (None, Some(BigInt(count)))
      case _: Project => (limit, limit)
      case _ => (None, None)
    }
    val here = if (Cascade.scores(plan)) plan.children.flatMap(rows(_)).map(count => most.fold(count)(_ min count)) else Nil
    here ++ plan.children.flatMap(scored(_, below)) ++ plan.subqueries.flatMap(scored(_, None))
  }

  /** The most rows that a plan can give, conditions aside, which statistics of a table say nothing of. */
  private def rows(plan: LogicalPlan): Option[BigInt] = {
    val ofNode: Option[BigInt] = plan match {
      case Filter(condition, _) if condition.exists(isUncounted) => None
      case relation: LogicalRelation => relation.catalogTable.flatMap(rows(relation, _))
      case relation: HiveTableRelation => relation.tableMeta.stats.flatMap(_.rowCount)
      case union: Union => union.children.map(rows(_)).reduce((one, other) => for (a <- one; b <- other) yield a + b)
      case join: Join => join.children.flatMap(rows(_)).reduceOption(_ max _)
      case _: Generate | _: Expand => None
      case node: UnaryNode => rows(node.child)
      case _ => None
    }
    val ofSpark = if (plan.children.isEmpty || session.sessionState.conf.cboEnabled) plan.stats.rowCount else None
    (ofNode ++ plan.maxRows.map(BigInt(_)) ++ ofSpark).reduceOption(_ min _)
  }

  /** Of the partitions that are left, by their share of the table's bytes. */
  private def rows(relation: LogicalRelation, table: CatalogTable): Option[BigInt] = {
    val catalog = session.sessionState.catalog
    val isPartitioned = table.partitionColumnNames.nonEmpty && catalog.tableExists(table.identifier)
    val whole = if (isPartitioned) catalog.getTableMetadata(table.identifier) else table
    for (stats <- whole.stats; count <- stats.rowCount) yield relation.relation match {
      case files: HadoopFsRelation if stats.sizeInBytes > 0 =>
        (count * files.location.sizeInBytes / stats.sizeInBytes) min count
      case _ => count
    }
  }

  private def isUncounted(expression: Expression): Boolean = expression match {
    case Marked(_, _, most) => most.isEmpty
    case _ => false
  }
}
