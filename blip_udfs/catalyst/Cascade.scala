package org.apache.spark.sql.blip

import scala.util.Try

import org.apache.spark.internal.Logging
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.classic.SparkSession
import org.apache.spark.sql.types.{ArrayType, DataType, FloatType, IntegerType, StringType}

/**
 * BLIP's retrieval protocol under `ORDER BY blip_itm(image, 'text') DESC LIMIT k`: of the rows that pass the WHERE, only
 * the N nearest by stored embedding are scored by ITM. N is spark.blip.search.candidates; 0 leaves every plan alone.
 */
case class Cascade(session: SparkSession) extends Rule[LogicalPlan] with Logging {
  import Cascade._

  override def apply(plan: LogicalPlan): LogicalPlan = candidates match {
    case 0 => plan
    case wanted =>
      val served = plan.transformWithSubqueries {
        case top @ Top(limit, sort) if wanted > limit && !top.exists(_.isInstanceOf[Candidates]) =>
          rewritten(sort, wanted).fold(identity[LogicalPlan](top))(better => top.transform { case `sort` => better })
      }
      if (served eq plan) {
        new WhyNot(conf, wanted)(plan).filter(WhyNot.isNew(session, _))
          .foreach(reason => logWarning(s"$key = $wanted, but every row is scored: $reason"))
      }
      served.transformWithSubqueries { case Candidates(child) => child }
  }

  private def candidates: Int = {
    val text = conf.getConfString(key, "0").trim
    Try(text.toInt).toOption.filter(_ >= 0).getOrElse(throw new IllegalArgumentException(
      s"$key = '$text': expected a whole number of rows, 0 for all; SET $key = 0 mends it"))
  }

  /** The sort over candidates alone; None where the rule does not apply. */
  private def rewritten(sort: Sort, wanted: Int): Option[LogicalPlan] = for {
    call <- scoreOf(sort.order.head, sort.child)
    below = belowScores(sort.child)
    if !below.exists(scores)
    (wide, embedding) <- widened(below, isEmbedding)
  } yield sort.withNewChildren(Seq(replaced(sort.child, below, nearest(below, wide, embedding, call, wanted))))

  private def replaced(plan: LogicalPlan, old: LogicalPlan, better: LogicalPlan): LogicalPlan =
    if (plan eq old) better else plan.withNewChildren(plan.children.map(replaced(_, old, better)))

  /** The nearest rows of `wide`, with the columns of `below`, spread over all cores. */
  private def nearest(
      below: LogicalPlan, wide: LogicalPlan, embedding: Attribute, call: PythonUDF, wanted: Int): LogicalPlan = {
    val text = ScalarFunction.call(Manifest.withRole("text_embed"), Seq(call.children(1))).asInstanceOf[PythonUDF]
    val similarity = Alias(inner(embedding, TextOnce.subquery(session, text)), "blip_similarity")()
    val order = SortOrder(similarity.toAttribute, Descending, NullsLast, Nil)
    val (wider, model) = widened(wide, isModel).fold((wide, Option.empty[Attribute])) { case (w, m) => (w, Some(m)) }
    val models = model.map(new SameModel(session, _))
    val measured = Project(wider.output :+ similarity, wider)
    val sorted = models.fold(Sort(Seq(order), global = true, measured)) { same =>
      Sort(Seq(SortOrder(same.isOther, Ascending), order), global = true, measured)
    }
    val taken = Limit(Literal(wanted, IntegerType), sorted)
    val checked = models.fold[LogicalPlan](taken)(_.check(taken))
    Candidates(Repartition(session.sparkContext.defaultParallelism, shuffle = true, Project(below.output, checked)))
  }

  /** VectorInnerProduct is replaced by a call long before this rule runs. */
  private def inner(left: Expression, right: Expression): Expression = VectorInnerProduct(left, right).replacement

  /** `plan` with a column of the relation that has it, which may have been pruned away above; None unless just one has. */
  private def widened(plan: LogicalPlan, wanted: Attribute => Boolean): Option[(LogicalPlan, Attribute)] =
    plan.output.find(wanted).map(plan -> _).orElse(plan match {
      case Project(list, child) =>
        widened(child, wanted).map { case (wide, found) => (Project(list :+ found, wide), found) }
      case filter: Filter =>
        widened(filter.child, wanted).map { case (wide, found) => (filter.withNewChildren(Seq(wide)), found) }
      case join: Join =>
        val left = widened(join.left, wanted).map { case (wide, found) => (join.withNewChildren(Seq(wide, join.right)), found) }
        val right = widened(join.right, wanted).map { case (wide, found) => (join.withNewChildren(Seq(join.left, wide)), found) }
        Seq(left, right).flatten.filter { case (wide, found) => wide.outputSet.contains(found) } match {
          case Seq(only) => Some(only)
          case _ => None
        }
      case _ => None
    })

  private def isEmbedding(attribute: Attribute): Boolean =
    conf.resolver(attribute.name, conf.getConfString(columnKey, "embedding")) && isVector(attribute)

  private def isModel(attribute: Attribute): Boolean =
    conf.resolver(attribute.name, "model") && attribute.dataType.isInstanceOf[StringType]
}

object Cascade {
  private[blip] val key = "spark.blip.search.candidates"
  private[blip] val columnKey = "spark.blip.search.embeddingColumn"

  private[blip] def isVector(attribute: Attribute): Boolean =
    DataType.equalsIgnoreNullability(attribute.dataType, ArrayType(FloatType))

  private[blip] def scores(node: LogicalPlan): Boolean = node.expressions.exists(_.exists(isScore))

  private[blip] def isScore(expression: Expression): Boolean = expression match {
    case call: PythonUDF => Manifest.has(call, "itm_score", "itm_logit")
    case _ => false
  }

  /** blip_search has a cascade of its own. */
  private[blip] def isSearch(plan: LogicalPlan): Boolean = plan.exists(_.output.exists(_.name == "blip_itc"))

  /** The ITM call that a sort key is, through aliases below; None unless it is DESC NULLS LAST with a constant text. */
  private def scoreOf(order: SortOrder, plan: LogicalPlan): Option[PythonUDF] =
    if (order.direction != Descending || order.nullOrdering != NullsLast) None
    else resolved(order.child, plan) match {
      case call: PythonUDF if isScore(call) && call.children(1).foldable && call.children(1).eval() != null => Some(call)
      case _ => None
    }

  private[blip] def resolved(expression: Expression, plan: LogicalPlan): Expression = (expression, plan) match {
    case (name: Attribute, Project(list, child)) =>
      list.collectFirst { case alias: Alias if alias.exprId == name.exprId => resolved(alias.child, child) }
        .getOrElse(resolved(name, child))
    case (other, _) => other
  }

  /** The plan below the projections that compute scores. */
  private[blip] def belowScores(plan: LogicalPlan): LogicalPlan = plan match {
    case Project(list, child) if list.exists(_.exists(isScore)) => child
    case Project(list, child) if list.forall(_.deterministic) && child.exists(scores) =>
      belowScores(child)
    case other => other
  }

  /** LIMIT k [OFFSET o] over ORDER BY: how many rows are asked of the sort, and the sort. */
  private[blip] object Top {
    def unapply(plan: LogicalPlan): Option[(Int, Sort)] = plan match {
      case GlobalLimit(_, LocalLimit(IntegerLiteral(rows), child)) => sorted(child).map(rows -> _)
      case GlobalLimit(IntegerLiteral(rows), Offset(IntegerLiteral(skipped), child)) => child match {
        case LocalLimit(_, deeper) => sorted(deeper).map(rows + skipped -> _)
        case deeper => sorted(deeper).map(rows + skipped -> _)
      }
      case _ => None
    }

    private def sorted(plan: LogicalPlan): Option[Sort] = plan match {
      case sort: Sort if sort.global => Some(sort)
      case Project(_, child) => sorted(child)
      case _ => None
    }
  }

  /** Marks what this rule made while it walks on, so that no limit above or below is served twice. */
  private case class Candidates(child: LogicalPlan) extends UnaryNode {
    override def output: Seq[Attribute] = child.output
    override protected def withNewChildInternal(newChild: LogicalPlan): LogicalPlan = copy(child = newChild)
  }
}
