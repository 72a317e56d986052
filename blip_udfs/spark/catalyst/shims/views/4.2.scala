package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

trait ViewsShim {
  /** Persistent views may call an extension's functions. */
  def known(function: (FunctionIdentifier, ExpressionInfo, Seq[Expression] => Expression)): Unit = ()
  def knownTable(function: (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)): Unit = ()
}
