package org.apache.spark.sql.blip

import org.apache.spark.SparkThrowable
import org.apache.spark.sql.Column
import org.apache.spark.sql.catalyst.expressions.{Expression, RaiseError}
import org.apache.spark.sql.types.DataType

/** Spark 3.5 has one kind of session. */
package object shims {
  type SparkSession = org.apache.spark.sql.SparkSession
  val SparkSession = org.apache.spark.sql.SparkSession
  type DataFrame = org.apache.spark.sql.DataFrame
  type Dataset[T] = org.apache.spark.sql.Dataset[T]
  private[sql] val Dataset = org.apache.spark.sql.Dataset
}

trait SparkShims {
  /** PATH_NOT_FOUND and the like: what an error is of. */
  def condition(error: SparkThrowable): String = error.getErrorClass

  /** An expression of type `of` that fails with the message. */
  def failure(message: Expression, of: DataType): Expression = RaiseError(message, of)

  def column(expression: Expression): Column = new Column(expression)
}
