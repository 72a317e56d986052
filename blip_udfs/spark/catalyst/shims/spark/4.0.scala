package org.apache.spark.sql.blip

import org.apache.spark.SparkThrowable
import org.apache.spark.sql.Column
import org.apache.spark.sql.catalyst.expressions.{CreateMap, Expression, Literal, RaiseError}
import org.apache.spark.sql.classic.ExpressionUtils
import org.apache.spark.sql.types.DataType

/** Since Spark 4.0 sessions are classic ones, which have plans, or Connect's. */
package object shims {
  type SparkSession = org.apache.spark.sql.classic.SparkSession
  val SparkSession = org.apache.spark.sql.classic.SparkSession
  type DataFrame = org.apache.spark.sql.classic.DataFrame
  type Dataset[T] = org.apache.spark.sql.classic.Dataset[T]
  private[sql] val Dataset = org.apache.spark.sql.classic.Dataset
}

trait SparkShims {
  /** PATH_NOT_FOUND and the like: what an error is of. */
  def condition(error: SparkThrowable): String = error.getCondition

  /** An expression of type `of` that fails with the message. */
  def failure(message: Expression, of: DataType): Expression =
    RaiseError(Literal("USER_RAISED_EXCEPTION"), CreateMap(Seq(Literal("errorMessage"), message)), of)

  def column(expression: Expression): Column = ExpressionUtils.column(expression)
}
