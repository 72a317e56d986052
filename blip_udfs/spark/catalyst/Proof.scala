package org.apache.spark.sql.blip

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.objects.StaticInvoke
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.execution.{LeafExecNode, SparkPlan, SparkStrategy}
import org.apache.spark.sql.types._

/** The rows that a WHERE with a promise keeps: of those with a label the ones that pass, and of those above the bound. */
case class Proof(sampled: Sampled) {
  import sampled.{key, passing, place, wide}

  private val answer = ScalarSubquery(ProofRelation(sampled))
  private val result = AttributeReference(passing.call.name, passing.call.dataType)()

  /** The score of `kept`, its last column. */
  val score: Attribute = AttributeReference(passing.call.name, passing.call.dataType)()

  def kept: LogicalPlan = {
    val scored = Project(sampled.rows :+ Alias(result, score.name)(score.exprId), Filter(sampled.passes(result), above))
    val labelled = Project(sampled.rows :+ label, known)
    Union(Seq(scored, Project(labelled.output.map(each => Alias(each, each.name)()), labelled)))
  }

  private def above: LogicalPlan = {
    val bound = field("bound")
    val isNear = Or(Or(IsNull(place), among("doubles")), Or(IsNull(bound), GreaterThanOrEqual(place, bound)))
    val chosen = Filter(And(And(Not(among("keys")), isNear), promise), wide)
    Proof.scored(passing.call, result, chosen)
  }

  private val label = {
    val place = StaticInvoke(SortedKeys.getClass, IntegerType, "find", Seq(field("keys"), key), Proof.kinds,
      returnNullable = false)
    Alias(GetArrayItem(field("scores"), place, failOnError = false), score.name)()
  }

  private def known: LogicalPlan = {
    val labels = Project(wide.output :+ label, Filter(among("keys"), wide))
    Filter(sampled.passes(label.toAttribute), labels)
  }

  private def among(name: String): Expression = Proof.among(field(name), key)

  private def field(name: String): Expression =
    GetStructField(answer, sampled.kind.fieldIndex(name), Some(name))

  private def promise: Expression = Marked(key, "ITM scores the rows above a similarity that a sample proves: of all that " +
    s"the WHERE keeps a share of ${Settings.recall(passing.call)}, with a probability of ${Settings.confidence(passing.call)}")
}

object Proof {
  private val kinds = Seq(ArrayType(LongType, containsNull = false), LongType)

  /** `rows` and the value of a call, which asks for no promise any more; no condition on it is pushed below. */
  private[blip] def scored(call: PythonUDF, result: Attribute, rows: LogicalPlan): LogicalPlan = {
    val plain = ScalarFunction.beside(call, Manifest.of(call).get, call.children)
    ArrowEvalPython(Seq(plain), Seq(result), rows, plain.evalType)
  }

  private[blip] def among(keys: Expression, key: Expression): Expression =
    StaticInvoke(SortedKeys.getClass, BooleanType, "has", Seq(keys, key), kinds, returnNullable = false)
}

/** What generated code calls: a key's place among keys in ascending order. */
object SortedKeys {
  def has(keys: ArrayData, key: Long): Boolean = find(keys, key) >= 0

  /** Below 0 where it is none of them. */
  def find(keys: ArrayData, key: Long): Int = {
    var (first, last) = (0, keys.numElements() - 1)
    while (first <= last) {
      val middle = (first + last) >>> 1
      val there = keys.getLong(middle)
      if (there == key) return middle
      if (there < key) first = middle + 1 else last = middle - 1
    }
    -1
  }
}

/** One row, what the samples say: known when a query that needs it runs. */
case class ProofRelation(sampled: Sampled) extends LeafNode {
  override val output: Seq[Attribute] = Seq(AttributeReference("blip_proof", sampled.kind, nullable = false)())
  override protected def stringArgs: Iterator[Any] = Iterator.empty
  override def computeStats(): Statistics = Statistics(sizeInBytes = 1, rowCount = Some(1))
  override def maxRows: Option[Long] = Some(1)
}

case class ProofExec(output: Seq[Attribute], @transient sampled: Sampled) extends LeafExecNode {
  @transient private lazy val rows: Array[InternalRow] =
    Array(UnsafeProjection.create(output.map(_.dataType).toArray).apply(InternalRow(sampled.answer.row)).copy())

  override protected def doExecute(): RDD[InternalRow] = sparkContext.parallelize(rows.toSeq, 1)
  override def executeCollect(): Array[InternalRow] = rows
  override def executeTake(limit: Int): Array[InternalRow] = rows.take(limit)
  override def executeTail(limit: Int): Array[InternalRow] = rows.takeRight(limit)
  override def simpleString(maxFields: Int): String = "BlipProof"
}

object ProofStrategy extends SparkStrategy {
  override def apply(plan: LogicalPlan): Seq[SparkPlan] = plan match {
    case relation: ProofRelation => Seq(ProofExec(relation.output, relation.sampled))
    case _ => Nil
  }
}
