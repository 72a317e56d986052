package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.analysis.{FunctionRegistry, TableFunctionRegistry}
import org.apache.spark.sql.catalyst.expressions.{Expression, ExpressionInfo}
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan

trait ViewsShim {
  /** Before 4.2 Spark takes an extension's functions for temporary ones, which no persistent view may call. */
  def known(function: (FunctionIdentifier, ExpressionInfo, Seq[Expression] => Expression)): Unit =
    if (!FunctionRegistry.builtin.functionExists(function._1)) {
      FunctionRegistry.builtin.registerFunction(function._1, function._2, function._3)
    }

  def knownTable(function: (FunctionIdentifier, ExpressionInfo, Seq[Expression] => LogicalPlan)): Unit =
    if (!TableFunctionRegistry.builtin.functionExists(function._1)) {
      TableFunctionRegistry.builtin.registerFunction(function._1, function._2, function._3)
    }
}
