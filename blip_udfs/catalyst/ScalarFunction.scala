package org.apache.spark.sql.blip

import java.util.{ArrayList => JArrayList, HashMap => JHashMap}

import org.apache.spark.api.python.{PythonBroadcast, SimplePythonFunction}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.SparkSessionExtensions
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Cast, Expression, ExpressionInfo}
import org.apache.spark.sql.errors.QueryCompilationErrors
import org.apache.spark.sql.execution.python.UserDefinedPythonFunction
import org.apache.spark.sql.types.{DataType, NullType, StringType}

/** A record of the manifest as a SQL function: its arguments are checked here, the work is a Python UDF. */
object ScalarFunction {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => Expression)

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, arguments => build(record, arguments))

  private def build(record: Manifest.Record, arguments: Seq[Expression]): Expression = {
    if (arguments.length != record.parameters.length) {
      throw QueryCompilationErrors.wrongNumArgsError(record.name, Seq(record.parameters.length), arguments.length)
    }
    val checked = arguments.zip(record.parameters).zipWithIndex.map {
      case ((argument, parameter), index) => check(record, argument, parameter, index)
    }
    call(record, checked)
  }

  /** A call of the function on arguments that fit. */
  def call(record: Manifest.Record, arguments: Seq[Expression]): Expression = udf(record).builder(arguments)

  /** The argument, a NULL of no type cast to the first type that is accepted. */
  private def check(
      record: Manifest.Record, argument: Expression, parameter: Manifest.Parameter, index: Int): Expression =
    argument.dataType match {
      case NullType => Cast(argument, parameter.accepted.head)
      case actual if parameter.accepted.exists(fits(actual, _)) => argument
      case actual => throw new AnalysisException(
        errorClass = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        messageParameters = Map(
          "sqlExpr" -> s"\"${record.name}(${record.parameters.map(_.name).mkString(", ")})\"",
          "paramIndex" -> ordinal(index),
          "requiredType" -> parameter.types.map(each => s"\"$each\"").mkString("(", " or ", ")"),
          "inputSql" -> s"\"${argument.sql}\"",
          "inputType" -> s"\"${actual.sql}\""))
    }

  /** Any string (CHAR, VARCHAR, collated) is a STRING; whether elements may be NULL does not matter. */
  def fits(actual: DataType, accepted: DataType): Boolean = (actual, accepted) match {
    case (_: StringType, _: StringType) => true
    case _ => DataType.equalsIgnoreNullability(actual, accepted)
  }

  private def ordinal(index: Int): String = Seq("first", "second", "third").applyOrElse(index, (n: Int) => s"${n + 1}th")

  private def udf(record: Manifest.Record): UserDefinedPythonFunction = {
    val python = Interpreter.ofSession
    val function = SimplePythonFunction(
      command = record.command,
      envVars = new JHashMap[String, String](),
      pythonIncludes = new JArrayList[String](),
      pythonExec = python.path,
      pythonVer = python.version,
      broadcastVars = new JArrayList[Broadcast[PythonBroadcast]](),
      accumulator = null)
    UserDefinedPythonFunction(
      record.name, function, DataType.fromDDL(record.returns), record.evalType, record.deterministic)
  }
}
