package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Expression, PythonUDF}
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, ExprCode}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.types.DataType

/**
 * A score with the columns by which its candidates are found, from analysis, where it is known which columns a query's
 * author sees, to the optimizer's Cascade. As its children Spark keeps and renames them with all else of the plan.
 * Where no rule of ours takes it off it is the score itself.
 *
 * @param columns the embedding, and what else of `names` the relation has; none where the score cannot be served
 * @param newest  the relation's newest versions, see Newest
 * @param whyNot  why the score cannot be served
 */
case class Ranked(
    call: Expression, columns: Seq[Expression], names: Seq[String], newest: Option[LogicalPlan], whyNot: Option[String])
  extends Expression {

  def score: PythonUDF = call.asInstanceOf[PythonUDF]

  def column(name: String): Option[Expression] = names.zip(columns).collectFirst { case (`name`, column) => column }

  override def children: Seq[Expression] = call +: columns
  override def dataType: DataType = call.dataType
  override def nullable: Boolean = call.nullable
  override def foldable: Boolean = false

  /** What `newest` holds follows from the columns. */
  override lazy val canonicalized: Expression =
    copy(call.canonicalized, columns.map(_.canonicalized), newest = None)

  override def eval(input: InternalRow): Any = call.eval(input)
  override def genCode(context: CodegenContext): ExprCode = call.genCode(context)
  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode = call.genCode(context)

  override def sql: String = call.sql
  override def toString: String = call.toString

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): Ranked =
    copy(call = newChildren.head, columns = newChildren.tail)
}
