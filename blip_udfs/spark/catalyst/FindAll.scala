package org.apache.spark.sql.blip

import scala.collection.mutable

import org.apache.spark.internal.Logging
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.Literal.TrueLiteral
import org.apache.spark.sql.catalyst.plans._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.blip.shims.SparkSession

/**
 * `WHERE blip_itm(image, 'text') > t` with spark.blip.filter.recall = r < 1: rows whose similarity is below a bound are not
 * scored, and with the probability spark.blip.filter.confidence at least the share r of what it keeps is kept. The bound
 * is proven by samples that are drawn when the query runs, see Proof.
 */
case class FindAll(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  override def apply(plan: LogicalPlan): LogicalPlan =
    if (!Cascade.has(plan, Passing.isAsked)) plan
    else {
      val block = new Block(session)
      val served = block.exact(plan, Nil)
      if (!WhyNot.isSearch(plan)) block.reasons.distinct
        .map { case (recall, reason) => s"${Settings.recallKey} = $recall, but every row is scored: $reason" }
        .filter(WhyNot.isNew(session, _)).foreach(logWarning(_))
      if (block.any) Cascade.pruned(served) else plan
    }
}

/** A plan whose WHEREs with a promise are served where they can be. */
private class Block(session: SparkSession) {
  val reasons: mutable.Buffer[(Double, String)] = mutable.Buffer()
  var any = false

  /** Rows that carry the values of calls. */
  private case class Scored(plan: LogicalPlan, scores: Seq[(PythonUDF, Attribute)] = Nil) {
    def known[T <: Expression](expression: T): T = expression.transform {
      case Ranked(call, _, _, _, _) if valueOf(call).isDefined => valueOf(call).get
      case call: PythonUDF if valueOf(call).isDefined => valueOf(call).get
    }.asInstanceOf[T]

    private def valueOf(call: Expression): Option[Attribute] =
      scores.collectFirst { case (known, value) if known.canonicalized == call.canonicalized => value }
  }

  /** With the plan's own columns alone. */
  def exact(plan: LogicalPlan, above: Seq[Narrowed]): LogicalPlan = {
    val served = serve(plan, above).plan
    if (served.output == plan.output) served else Project(plan.output, served)
  }

  /** `above`: what else is asked of the rows before they leave the query block, the innermost last. */
  private def serve(plan: LogicalPlan, above: Seq[Narrowed]): Scored = plan match {
    case other if !Cascade.has(other, Passing.isAsked) => Scored(other)
    case filter @ Passing(passing) => passed(filter, passing, above)
    case Filter(condition, child) =>
      condition.collectFirst { case call: PythonUDF if Passing.isAsked(call) => call }.foreach(leave(_, Block.shape))
      val below = serve(child, above :+ Narrowed(condition))
      below.copy(plan = Filter(below.known(condition), below.plan))
    case project @ Project(list, child) if list.forall(_.deterministic) =>
      val below = serve(child, above.map(_.through(project)))
      below.copy(plan = Project(list.map(below.known(_)) ++ below.scores.map(_._2), below.plan))
    case join: Join => joined(join, above)
    case sort: Sort =>
      val below = serve(sort.child, above)
      below.copy(plan = sort.copy(order = sort.order.map(below.known(_)), child = below.plan))
    case window: Window =>
      val below = serve(window.child, Nil)
      below.copy(plan = window.withNewChildren(Seq(below.plan)).mapExpressions(below.known(_)))
    case group: Aggregate =>
      val below = serve(group.child, Nil)
      Scored(group.withNewChildren(Seq(below.plan)).mapExpressions(below.known(_)))
    case other => Scored(other.mapChildren(exact(_, whyNone(other, above))))
  }

  /** What is asked of the rows of a node that is none of the above. */
  private def whyNone(node: LogicalPlan, above: Seq[Narrowed]): Seq[Narrowed] = node match {
    case LocalLimit(_, child) if !isSorted(child) => refused("its LIMIT without ORDER BY ends it when enough rows are found")
    case _: Generate => refused("its FROM makes several rows of one, as explode does; store them in a table")
    case _: RowLevelWrite => refused("it changes a table's rows; expected a query")
    case union: Union if union.children.count(Cascade.has(_, Passing.isAsked)) > 1 =>
      refused("it reads a UNION, each part of which would have a promise of its own; store its rows in a table")
    // a condition above them is asked of what they leave, and before them would let other rows through
    case _: GlobalLimit | _: LocalLimit | _: Offset | _: Tail | _: Sample | _: CollectMetrics =>
      above.filter(_.wrong.isDefined)
    case node: UnaryNode => above.map(_.within(node.child))
    case _ => Nil
  }

  private def joined(join: Join, above: Seq[Narrowed]): Scored = {
    val Join(left, right, kind, condition, _) = join
    val on = condition.getOrElse(TrueLiteral)
    def side(of: LogicalPlan, narrowed: Seq[Narrowed]): Scored = serve(of, above.map(_.within(of)) ++ narrowed)
    def partner(of: LogicalPlan): Seq[Narrowed] = Seq(Narrowed(on, Some(of -> LeftSemi)))
    val Seq(one, other) = kind match {
      case _: InnerLike => Seq(side(left, partner(right)), side(right, partner(left)))
      case LeftSemi => Seq(side(left, Seq(Narrowed(on, Some(right -> kind)))), Scored(exact(right, Nil)))
      case LeftAnti => Seq(side(left, Seq(Narrowed(on, Some(right -> kind)))), Scored(exact(right, ofMissing)))
      case LeftOuter => Seq(side(left, Nil), Scored(exact(right, ofMissing)))
      case RightOuter => Seq(Scored(exact(left, ofMissing)), side(right, Nil))
      case _ => join.children.map(child => Scored(exact(child, ofMissing)))
    }
    Scored(join.copy(left = one.plan, right = other.plan), one.scores ++ other.scores)
  }

  private def passed(filter: LogicalPlan, passing: Passing, above: Seq[Narrowed]): Scored = {
    val rows = if (above.exists(_.whyNot(passing.below).isDefined)) passing.below else above.foldRight(passing.below)(_.of(_))
    above.flatMap(_.whyNot(passing.below)).headOption.orElse(passing.whyNot(rows)) match {
      case Some(reason) =>
        leave(passing.call, reason)
        val below = serve(filter.children.head, Nil)
        below.copy(plan = filter.withNewChildren(Seq(below.plan)))
      case None =>
        any = true
        val (wide, similarity) = Candidates(session).measured(rows, passing.ranked)
        val proof = Proof(new Sampled(session, wide, similarity, passing))
        Scored(proof.kept, Seq(passing.call -> proof.score))
    }
  }

  private def leave(call: PythonUDF, reason: String): Unit = reasons += Settings.recall(call) -> reason

  private def refused(reason: String): Seq[Narrowed] = Seq(Narrowed(TrueLiteral, wrong = Some(reason)))

  /** Where a row that is missed makes another appear, with NULL or at all. */
  private def ofMissing: Seq[Narrowed] = refused("its join asks what has no match; store the matches in a table")

  private def isSorted(plan: LogicalPlan): Boolean = plan match {
    case sort: Sort => sort.global
    case Project(_, child) => isSorted(child)
    case _ => false
  }
}

private object Block {
  val shape = "its WHERE is not blip_itm(image, 'a text') > a number, alone or with AND"
}
