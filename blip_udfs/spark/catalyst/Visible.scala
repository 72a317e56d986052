package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.LeftExistence
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types.{ArrayType, DataType, FloatType, IntegerType, StringType}

/** The columns by which candidates are found, as the author of a query sees them beside an image. */
object Visible {
  val embedding = "embedding"
  private val others: Seq[(String, DataType)] = Seq("model" -> StringType, "version" -> IntegerType, "error" -> StringType)

  def names(embeddingName: String): Seq[String] = embeddingName +: others.map(_._1)

  /** The columns of `relation` that belong to the image, by what they are for: the embedding has its name from the
   * settings, the others their own. */
  def columns(relation: LogicalPlan, image: Attribute, embeddingName: String): Seq[(String, Attribute)] =
    byName(embeddingName, fitting(relation, image, _, _))

  /** Whatever they belong to. */
  def byName(relation: LogicalPlan, embeddingName: String): Seq[(String, Attribute)] =
    byName(embeddingName, (name, fits) => named(relation, name).filter(each => fits(each.dataType)))

  private def byName(
      embeddingName: String, found: (String, DataType => Boolean) => Seq[Attribute]): Seq[(String, Attribute)] = {
    val rest = others.map { case (name, kind) => name -> found(name, ScalarFunction.fits(_, kind)) }
    ((embedding -> found(embeddingName, isVector)) +: rest).collect { case (purpose, Seq(only)) => purpose -> only }
  }

  def fitting(relation: LogicalPlan, image: Attribute, name: String, fits: DataType => Boolean): Seq[Attribute] =
    named(relation, name).filter(each => fits(each.dataType) && belong(relation, image, AttributeSet(each)))

  def named(relation: LogicalPlan, name: String): Seq[Attribute] =
    AttributeSet(relation.output.filter(each => SQLConf.get.resolver(each.name, name))).toSeq

  def isVector(kind: DataType): Boolean = DataType.equalsIgnoreNullability(kind, ArrayType(FloatType))

  /** Whether an image is a column of a table, a view or a CTE, and no expression's value. */
  def isColumn(plan: LogicalPlan, image: Attribute): Boolean = belong(plan, image, AttributeSet.empty)

  /** Whether the image and what the others are made of are in one row of one table, view or CTE, which is what it is. */
  private def belong(plan: LogicalPlan, image: Attribute, others: AttributeSet): Boolean = plan match {
    case view: View => areIn(view, image, others)
    case defined: WithCTE => belong(defined.plan, image, others)
    case Project(list, child) => through(list, child, image, others)
    case group: Aggregate => through(group.aggregateExpressions, group.child, image, others)
    case join: Join => sideOf(join, image).exists(side => others.subsetOf(side.outputSet) && belong(side, image, others))
    case _: Union | _: SetOperation => inAll(plan, image, others)
    case node: UnaryNode =>
      val made = others -- node.child.outputSet
      val of = if (made.isEmpty) AttributeSet.empty else node.references
      node.child.outputSet.contains(image) && belong(node.child, image, (others -- made) ++ of)
    case leaf => areIn(leaf, image, others)
  }

  private def areIn(plan: LogicalPlan, image: Attribute, others: AttributeSet): Boolean =
    plan.outputSet.contains(image) && others.subsetOf(plan.outputSet)

  private def through(list: Seq[NamedExpression], child: LogicalPlan, image: Attribute, others: AttributeSet): Boolean = {
    def listed(column: Attribute): Option[NamedExpression] = list.find(_.exprId == column.exprId)
    val of = AttributeSet(others.toSeq.flatMap(listed(_)).flatMap(_.references))
    listed(image) match {
      case Some(same: Attribute) => belong(child, same, of)
      case Some(Alias(same: Attribute, _)) => belong(child, same, of)
      case _ => false
    }
  }

  /** The side of a join that a column comes from. */
  def sideOf(join: Join, column: Attribute): Option[LogicalPlan] = join.joinType match {
    case LeftExistence(_) => Some(join.left)
    case _ => join.children.find(_.outputSet.contains(column))
  }

  /** By position, in each of the relations that are put together. */
  private def inAll(plan: LogicalPlan, image: Attribute, others: AttributeSet): Boolean = plan.children.forall { child =>
    def at(column: Attribute): Option[Attribute] =
      Some(plan.output.indexWhere(_.exprId == column.exprId)).filter(_ >= 0).map(child.output)
    val there = others.toSeq.map(at)
    at(image).exists(same => there.forall(_.isDefined) && belong(child, same, AttributeSet(there.flatten)))
  }
}
