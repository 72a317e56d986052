package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Expression, UnaryExpression}
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, EmptyBlock, ExprCode, FalseLiteral, TrueLiteral}
import org.apache.spark.sql.types.{BooleanType, DataType}

/**
 * A condition that every row meets: in EXPLAIN it says which rows are left for ITM.
 *
 * @param child what the rows were chosen by: no rule moves a condition on that below the choice
 * @param most  how many they are at most, where that is known
 */
case class Marked(child: Expression, said: String, most: Option[Int] = None) extends UnaryExpression {
  override def dataType: DataType = BooleanType
  override def nullable: Boolean = false
  override def foldable: Boolean = false
  override def eval(input: InternalRow): Any = true
  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode =
    code.copy(code = EmptyBlock, isNull = FalseLiteral, value = TrueLiteral)

  override def sql: String = toString
  override def toString: String = said

  override protected def withNewChildInternal(newChild: Expression): Marked = copy(child = newChild)
}

object Marked {
  def apply(child: Expression, count: Int): Marked = Marked(child, s"ITM scores at most $count rows", Some(count))

  def ofEach(child: Expression, count: Int, group: String): Marked =
    Marked(child, s"ITM scores at most $count rows of each $group")
}
