package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical.{LogicalPlan, Project}
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.types.{ArrayType, DataType, StringType, StructType}

/** Calls on one image in one SELECT become one call with all their values: a worker encodes the image once. */
object Together extends Rule[LogicalPlan] {
  override def apply(plan: LogicalPlan): LogicalPlan = plan.transformUpWithSubqueries {
    case project: Project => groups(project).foldLeft(project)(merged)
  }

  /** Calls with the same image, and the same answer to a bad one, that differ otherwise. */
  private def groups(project: Project): Seq[Seq[PythonUDF]] = {
    val calls = project.projectList.flatMap(_.collect { case call: PythonUDF if isPart(call) => call })
    val distinct = calls.groupBy(_.canonicalized).values.map(_.head).toSeq
    distinct.groupBy(call => (call.children.head.canonicalized, record(call).tolerant)).values.filter(_.size > 1).toSeq
  }

  private def isPart(call: PythonUDF): Boolean =
    Manifest.of(call).exists(_.part.isDefined) && call.deterministic &&
      !call.children.exists(_.exists(_.isInstanceOf[PythonUDF]))

  private def merged(project: Project, calls: Seq[PythonUDF]): Project = {
    val texts = calls.flatMap(textOf(_, StringType)).distinctBy(_.canonicalized)
    val arrays = calls.flatMap(textOf(_, ArrayType(StringType))).distinctBy(_.canonicalized)
    val parts = calls.flatMap(record(_).part).distinct.mkString(" ")
    val image = calls.head.children.head
    val function = Manifest.withRole(if (record(calls.head).tolerant) "try_together" else "together")
    val together = ScalarFunction.call(
      function, Seq(image, Literal(parts), array(texts, StringType), array(arrays, ArrayType(StringType))))
    val alias = Alias(together, function.name)()
    val list = project.projectList.map(_.transform {
      case call: PythonUDF if calls.exists(_.canonicalized == call.canonicalized) =>
        value(call, alias.toAttribute, texts, arrays)
    }.asInstanceOf[NamedExpression])
    val needed = project.child.output.filter(AttributeSet(list.flatMap(_.references)).contains)
    Project(list, Project(needed :+ alias, project.child))
  }

  /** A call's value: a field of what the merged call gives; of texts, the place of its own. */
  private def value(call: PythonUDF, row: Attribute, argumentsInOrder: Seq[Expression]*): Expression = {
    val field = row.dataType.asInstanceOf[StructType].fieldIndex(record(call).part.get)
    val values = GetStructField(row, field)
    call.children.drop(1).headOption.fold[Expression](values) { text =>
      val place = argumentsInOrder.map(_.indexWhere(_.canonicalized == text.canonicalized)).max
      GetArrayItem(values, Literal(place), failOnError = false)
    }
  }

  private def record(call: PythonUDF): Manifest.Record = Manifest.of(call).get

  private def textOf(call: PythonUDF, of: DataType): Option[Expression] =
    call.children.drop(1).headOption.filter(text => ScalarFunction.fits(text.dataType, of))

  private def array(values: Seq[Expression], of: DataType): Expression =
    if (values.isEmpty) Literal.default(ArrayType(of)) else CreateArray(values)
}
