package org.apache.spark.sql.blip

import java.util.{ArrayList => JArrayList}

import org.apache.spark.api.python.{PythonBroadcast, SimplePythonFunction}
import org.apache.spark.broadcast.Broadcast
import org.apache.spark.sql.AnalysisException
import org.apache.spark.sql.SparkSessionExtensions
import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Cast, Expression, ExpressionInfo, PythonUDF}
import org.apache.spark.sql.errors.QueryCompilationErrors
import org.apache.spark.sql.execution.python.UserDefinedPythonFunction
import org.apache.spark.sql.types.{DataType, NullType, StringType}

/** A record of the manifest as a SQL function: its arguments are checked here, the work is a Python UDF. */
object ScalarFunction {
  type Description = (FunctionIdentifier, ExpressionInfo, Seq[Expression] => Expression)

  def description(record: Manifest.Record): Description =
    (FunctionIdentifier(record.name), record.info, arguments => build(record, arguments))

  private def build(record: Manifest.Record, arguments: Seq[Expression]): Expression =
    call(record, checked(record, arguments))

  /** The arguments, of the number and the types that the record says; an error else. */
  def checked(record: Manifest.Record, arguments: Seq[Expression]): Seq[Expression] = {
    if (arguments.length != record.parameters.length) {
      throw QueryCompilationErrors.wrongNumArgsError(record.name, Seq(record.parameters.length), arguments.length)
    }
    arguments.zip(record.parameters).zipWithIndex.map {
      case ((argument, parameter), index) => check(record, argument, parameter, index)
    }
  }

  /** A call of the function on arguments that fit, with the session's settings. */
  def call(record: Manifest.Record, arguments: Seq[Expression]): PythonUDF =
    call(record, arguments, Settings.ofSession(record))

  /** A call whose answer depends on no setting. */
  def plain(record: Manifest.Record, arguments: Seq[Expression]): PythonUDF = call(record, arguments, "{}")

  /** A call beside another of ours, with the settings of that. */
  def beside(other: PythonUDF, record: Manifest.Record, arguments: Seq[Expression]): PythonUDF =
    call(record, arguments, Settings.shared(other))

  /** A call with what of the session's settings all functions have: it ranks no rows by itself. */
  def beside(record: Manifest.Record, arguments: Seq[Expression]): PythonUDF =
    call(record, arguments, Settings.ofSession(ranks = false))

  private def call(record: Manifest.Record, arguments: Seq[Expression], settings: String): PythonUDF =
    udf(record, settings).builder(arguments).asInstanceOf[PythonUDF]

  /** The argument, a NULL of no type cast to the first type that is accepted. */
  private def check(
      record: Manifest.Record, argument: Expression, parameter: Manifest.Parameter, index: Int): Expression =
    argument.dataType match {
      case NullType => Cast(argument, parameter.accepted.head)
      case actual if parameter.accepted.exists(fits(actual, _)) => argument
      case actual => throw new AnalysisException(
        errorClass = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        messageParameters = Map(
          "sqlExpr" -> quoted(s"${record.name}(${record.parameters.map(_.name).mkString(", ")})"),
          "paramIndex" -> ordinal(index),
          "requiredType" -> parameter.types.map(quoted).mkString("(", " or ", ")"),
          "inputSql" -> quoted(argument.sql),
          "inputType" -> quoted(actual.sql)))
    }

  private def quoted(text: String): String = "\"" + text + "\""

  /** Any string (CHAR, VARCHAR, collated) is a STRING; whether elements may be NULL does not matter. */
  def fits(actual: DataType, accepted: DataType): Boolean = (actual, accepted) match {
    case (_: StringType, _: StringType) => true
    case _ => DataType.equalsIgnoreNullability(actual, accepted)
  }

  private def ordinal(index: Int): String = Seq("first", "second", "third").applyOrElse(index, (n: Int) => s"${n + 1}th")

  private def udf(record: Manifest.Record, settings: String): UserDefinedPythonFunction = {
    val python = Interpreter.ofSession
    val function = SimplePythonFunction(
      command = Command(record, settings),
      envVars = Interpreter.environment,
      pythonIncludes = new JArrayList[String](),
      pythonExec = python.path,
      pythonVer = python.version,
      broadcastVars = new JArrayList[Broadcast[PythonBroadcast]](),
      accumulator = null)
    UserDefinedPythonFunction(
      record.name, function, DataType.fromDDL(record.returns), record.evalType, record.deterministic)
  }
}
