package org.apache.spark.sql.blip

import java.util.Locale

import scala.util.Try

import org.apache.spark.sql.catalyst.expressions.{Expression, NamedArgumentExpression}
import org.apache.spark.sql.errors.QueryCompilationErrors

/** The arguments of a table function's call by name; those that are left out take the catalog's default. */
class Arguments(record: Manifest.Record, passed: Seq[Expression]) {
  private val names = record.parameters.map(_.name)
  private val required = record.parameters.count(_.default.isEmpty)
  if (passed.length < required || passed.length > names.length) {
    throw QueryCompilationErrors.wrongNumArgsError(record.name, required to names.length, passed.length)
  }

  private val named: Seq[(String, Expression)] = passed.zipWithIndex.map {
    case (NamedArgumentExpression(name, value), _) if names.contains(name.toLowerCase(Locale.ROOT)) =>
      name.toLowerCase(Locale.ROOT) -> value
    case (NamedArgumentExpression(name, _), _) => throw refused(name, s"an argument of ${names.mkString(", ")}", name)
    case (value, index) => names(index) -> value
  }
  named.map(_._1).diff(names).headOption.foreach(name => throw refused(name, "it once", "it twice"))
  private val byName: Map[String, Expression] = named.toMap

  def expression(name: String): Option[Expression] = byName.get(name)

  /** A constant argument; None for NULL or where it is left out. */
  def constant(name: String): Option[Any] = byName.get(name).flatMap { value =>
    Try(value.eval()).toOption.filter(_ => value.foldable) match {
      case Some(result) => Option(result)
      case None => throw refused(name, "a constant", words(value))
    }
  }

  def text(name: String, expected: String): String =
    constant(name).map(_.toString).getOrElse(throw refused(name, expected, "NULL"))

  /** A whole number, `least` or more. */
  def number(name: String, default: Int, least: Int): Int = constant(name) match {
    case None => default
    case Some(whole @ (_: Byte | _: Short | _: Int | _: Long)) if inRange(whole.toString.toLong, least) =>
      whole.toString.toInt
    case Some(_) => throw refused(name, s"a whole number, $least or more", words(byName(name)))
  }

  private def inRange(value: Long, least: Int): Boolean = value >= least && value <= Int.MaxValue

  /** As the user wrote it: Spark's own text of a parsed expression may be of its internals. */
  private def words(value: Expression): String = {
    val text = Option(value.origin).flatMap { origin =>
      for (sql <- origin.sqlText; first <- origin.startIndex; last <- origin.stopIndex)
        yield sql.substring(first, last + 1)
    }
    text.getOrElse(Try(value.sql).getOrElse(value.toString))
  }

  def refused(name: String, expected: String, got: String): IllegalArgumentException =
    new IllegalArgumentException(s"${record.name}: $name: expected $expected, got $got")
}
