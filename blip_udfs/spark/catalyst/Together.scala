package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.types.{ArrayType, DataType, StringType, StructType}

/**
 * Calls on one image in a SELECT, its WHERE and its ORDER BY become one call with all their values, below the lowest
 * place that needs one: a worker encodes the image once, and a call that stands in several places is made once.
 */
object Together extends Rule[LogicalPlan] with PredicateHelper {
  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!Cascade.has(plan, isPart)) plan
    else plan.transformDownWithSubqueries { case top if isLink(top) => groups(top).headOption.fold(top)(_ => all(top)) }

  private def all(top: LogicalPlan): LogicalPlan =
    groups(top).headOption.fold(Cascade.pruned(top))(calls => all(merged(top, chain(top), calls)))

  /** What stands in one query block: its rows are those of its child, some left out, sorted, moved or grouped. */
  private def isLink(node: LogicalPlan): Boolean = node match {
    case Project(list, _) => list.forall(_.deterministic)
    case Filter(condition, _) => condition.deterministic
    case _: Sort | _: Aggregate | _: Window | _: RepartitionOperation => true
    case _ => false
  }

  private def isPart(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Manifest.of(call).exists(_.part.isDefined) && call.deterministic && !call.children.exists(hasPython)
    case _ => false
  }

  private def hasPython(expression: Expression): Boolean = expression.exists(_.isInstanceOf[PythonUDF])

  /** The links from a chain's top down, an Aggregate only as the first: what it passes on are no rows of its child's. */
  private def chain(top: LogicalPlan): Seq[LogicalPlan] = top.children.head match {
    case below if isLink(below) && !below.isInstanceOf[Aggregate] => top +: chain(below)
    case _ => Seq(top)
  }

  /** A call in the link at `depth`, its arguments as they stand below the links that they pass through, one by one. */
  private case class Place(call: PythonUDF, depth: Int, below: Seq[PythonUDF]) {
    def lowest: Int = depth + below.size - 1
    def at(other: Int): PythonUDF = below(other - depth)
  }

  private def places(links: Seq[LogicalPlan]): Seq[Place] = for {
    (link, depth) <- links.zipWithIndex
    call <- link.expressions.flatMap(_.collect { case call: PythonUDF if isPart(call) => call })
  } yield Place(call, depth, lowered(call, links.drop(depth + 1)))

  /** The call below no link, the first, the second, as far as its arguments are no Python function's. */
  private def lowered(call: PythonUDF, links: Seq[LogicalPlan]): Seq[PythonUDF] = call +: (links.headOption match {
    case Some(Project(list, _)) =>
      val made = AttributeMap(list.collect { case alias: Alias => alias.toAttribute -> alias.child })
      val deeper = call.withNewChildren(call.children.map(_.transform {
        case column: Attribute => made.getOrElse(column, column)
      })).asInstanceOf[PythonUDF]
      if (isPart(deeper)) lowered(deeper, links.tail) else Nil
    case Some(_) => lowered(call, links.tail)
    case None => Nil
  })

  /** Calls with the same image, and the same answer to a bad one, that differ otherwise or stand in more than one link. */
  private def groups(top: LogicalPlan): Seq[Seq[Place]] =
    places(chain(top)).groupBy { place =>
      val call = place.below.last
      (place.lowest, call.children.head.canonicalized, record(call).tolerant, Settings.shared(call))
    }.values.filter { group =>
      group.map(_.depth).distinct.size > 1 || group.map(_.call.canonicalized).distinct.size > 1
    }.toSeq

  private def merged(top: LogicalPlan, links: Seq[LogicalPlan], group: Seq[Place]): LogicalPlan = {
    val deepest = group.map(_.depth).max
    val link = links(deepest)
    val first = link match {
      case Filter(condition, child) => plain(condition).reduceOption(And(_, _)).fold(child)(Filter(_, child))
      case other => other.children.head
    }
    val (made, result, value) = one(group.map(_.at(deepest)))
    def values(node: LogicalPlan, depth: Int): LogicalPlan = {
      val here = group.filter(_.depth == depth).map(place => place.call.canonicalized -> value(place.at(deepest))).toMap
      node.transformExpressions { case call: PythonUDF => here.getOrElse(call.canonicalized, call) }
    }
    def scored(condition: Expression): Seq[Expression] =
      splitConjunctivePredicates(condition).filterNot(plain(link.expressions.head).contains)
    // as Spark itself makes of a call later: through a projection it would push the conditions, and with them the call
    val base: LogicalPlan = ArrowEvalPython(Seq(made), Seq(result), first, made.evalType)
    val rebuilt = links.zipWithIndex.take(deepest + 1).foldRight(base) { case ((node, depth), below) =>
      values(node, depth) match {
        case Project(list, _) => Project(if (depth == 0) list else list :+ result, below)
        case Filter(condition, _) if depth == deepest => Filter(scored(condition).reduce(And(_, _)), below)
        case other => other.withNewChildren(Seq(below))
      }
    }
    top match {
      case _: Project | _: Aggregate => rebuilt
      case _ => Project(top.output, rebuilt)
    }
  }

  /** Conditions that need no Python, which are asked before an image is encoded. */
  private def plain(condition: Expression): Seq[Expression] = splitConjunctivePredicates(condition).filterNot(hasPython)


  /** One call in place of several, its result, and what each of these is of it. */
  private def one(calls: Seq[PythonUDF]): (PythonUDF, Attribute, PythonUDF => Expression) = {
    val distinct = calls.groupBy(_.canonicalized).values.map(_.head).toSeq
    val first = distinct.head
    def result(call: PythonUDF): Attribute = AttributeReference(call.name, call.dataType)()
    if (distinct.size == 1) {
      val only = result(first)
      (first, only, _ => only)
    } else {
      val texts = unique(distinct.flatMap(textOf(_, StringType)))
      val arrays = unique(distinct.flatMap(textOf(_, ArrayType(StringType))))
      val parts = distinct.flatMap(record(_).part).distinct.sorted.mkString(" ")
      val function = Manifest.withRole(if (record(first).tolerant) "try_together" else "together", record(first).tolerant)
      val arguments = Seq(first.children.head, Literal(parts), array(texts, StringType), array(arrays, ArrayType(StringType)))
      val together = ScalarFunction.beside(first, function, arguments)
      val row = result(together)
      (together, row, field(_, row, texts, arrays))
    }
  }

  /** A call's value: a field of what the merged call gives; of texts, the place of its own. */
  private def field(call: PythonUDF, row: Attribute, argumentsInOrder: Seq[Expression]*): Expression = {
    val values = GetStructField(row, row.dataType.asInstanceOf[StructType].fieldIndex(record(call).part.get))
    call.children.drop(1).headOption.fold[Expression](values) { text =>
      val place = argumentsInOrder.map(_.indexWhere(_.canonicalized == text.canonicalized)).max
      GetArrayItem(values, Literal(place), failOnError = false)
    }
  }

  private def record(call: PythonUDF): Manifest.Record = Manifest.of(call).get

  private def textOf(call: PythonUDF, of: DataType): Option[Expression] =
    call.children.drop(1).headOption.filter(text => ScalarFunction.fits(text.dataType, of))

  private def unique(texts: Seq[Expression]): Seq[Expression] =
    texts.foldLeft(Seq.empty[Expression]) { (kept, text) =>
      if (kept.exists(_.canonicalized == text.canonicalized)) kept else kept :+ text
    }

  private def array(values: Seq[Expression], of: DataType): Expression =
    if (values.isEmpty) Literal.default(ArrayType(of)) else CreateArray(values)
}
