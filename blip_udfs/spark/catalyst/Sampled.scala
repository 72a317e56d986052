package org.apache.spark.sql.blip

import scala.collection.mutable

import org.json4s.{DefaultFormats, Formats, JValue}
import org.json4s.jackson.JsonMethods.parse
import org.json4s.jackson.Serialization.write

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.{Count, Max, Sum}
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, ExprCode}
import org.apache.spark.sql.catalyst.plans.logical._
import org.apache.spark.sql.catalyst.util.GenericArrayData
import org.apache.spark.sql.execution.SQLExecution
import org.apache.spark.sql.blip.shims.SparkSession
import org.apache.spark.sql.types._

/**
 * The samples of a WHERE with a promise, as blip_udfs/results/find_all.py draws them, and what they prove: see
 * blip_udfs/blip/recall.py. A row is known by a hash of its image's path and its embedding, which draws it too, the same
 * rows in every read and for every SELECT; rows that have a double, whose draws would be one draw, are always scored.
 */
class Sampled(session: SparkSession, measured: LogicalPlan, similarity: Attribute, val passing: Passing) {
  import Sampled._

  private implicit val formats: Formats = DefaultFormats
  private val call = passing.call
  private val bin = Alias(MadeOnce(binned(similarity)), "blip_bin")()
  private val hash = {
    val path = call.children.head
    Alias(new XxHash64(Seq(path).filter(_.dataType.isInstanceOf[StringType]) ++ passing.ranked.columns), "blip_key")()
  }

  /** The rows' own columns; with `place`, NULL of a row without similarity, and `key`. */
  val rows: Seq[Attribute] = measured.output.filterNot(_ == similarity)
  val wide: LogicalPlan = Project(rows ++ Seq(bin, hash), measured)
  val place: Attribute = bin.toAttribute
  val key: Attribute = hash.toAttribute

  /** Of what the proof is made: `bound` is NULL where none is proven, `scores` are those of `keys`. */
  val kind: StructType = StructType(Seq(
    StructField("bound", IntegerType), StructField("doubles", ArrayType(LongType, containsNull = false), nullable = false),
    StructField("keys", ArrayType(LongType, containsNull = false), nullable = false),
    StructField("scores", ArrayType(call.dataType), nullable = false)))

  /** The WHERE's condition on a score. */
  def passes(score: Attribute): Expression = passing.condition.transformDown { case _: Ranked => score }

  /** Drawn and scored once, however many read it. */
  lazy val answer: Answer = session.withActive {
    val counts = counted
    val (first, seen, rates) = drawn(counts, 1, Map.empty, None)
    val (second, bound) = if (first.isEmpty) (Nil, None) else {
      val known = Map("seen" -> seen)
      val (more, matches, planned) = drawn(counts, 2, known, rates)
      (more, planned.flatMap(_ => (asked(counts, known + ("found" -> matches)) \ "bound").extractOpt[Int]))
    }
    val answer = Answer(counts, (first ++ second).sortBy(_.key), bound, call)
    FindAllReport(session, answer)
    answer
  }

  private def counted: Counts = {
    val count = Alias(Count(Literal(1)).toAggregateExpression(), "rows")()
    val lies = Alias(Max(place).toAggregateExpression(), "place")()
    val keys = Aggregate(Seq(key), Seq(key, count, lies), wide)
    val isOne = EqualTo(count.toAttribute, Literal(1L))
    def sum(value: Expression): NamedExpression = Alias(Sum(value).toAggregateExpression(), "sum")()
    val (one, zero) = (Literal(1L), Literal(0L))
    val sums = Seq(If(isOne, one, zero), If(isOne, zero, count.toAttribute), If(isOne, zero, one))
    val at = lies.toAttribute
    val bins = collected(Aggregate(Seq(at), at +: sums.map(sum), keys))
    val single = bins.filterNot(_.isNullAt(0)).map(row => row.getInt(0) -> row.getLong(1)).filter(_._2 > 0)
    val none = bins.map(row => row.getLong(2) + (if (row.isNullAt(0)) row.getLong(1) else 0L)).sum
    val doubled = bins.map(_.getLong(3)).sum
    if (doubled > most) Counts(Nil, none + single.map(_._2).sum, Nil)
    else {
      val doubles = if (doubled == 0) Nil else collected(Project(Seq(key), Filter(Not(isOne), keys))).map(_.getLong(0)).sorted
      Counts(single, none, doubles)
    }
  }

  /** The labels of a sample, what to say of them to Python, and which rows were drawn. `before`: those of the first. */
  private def drawn(counts: Counts, sample: Int, known: Map[String, Any], before: Option[Expression])
      : (Seq[Label], Seq[Seq[Long]], Option[Expression]) = {
    val rates = (asked(counts, known) \ "rates").extractOpt[Seq[Seq[Double]]].filter(_.nonEmpty)
    val isDrawn = rates.map(each => LessThan(chance(sample), rate(each)))
    val labels = isDrawn.fold(Seq.empty[Label]) { isDrawn =>
      val doubles = Some(counts.doubles).filter(_.nonEmpty).map { keys =>
        Not(Proof.among(Literal.create(new GenericArrayData(keys.toArray), ArrayType(LongType)), key))
      }
      val conditions = (isDrawn +: before.map(Not(_)).toSeq) ++ doubles :+ Marked(key, "ITM scores a sample")
      labelled(Filter(conditions.reduce[Expression](And(_, _)), wide))
    }
    val said = labels.groupBy(_.bin).toSeq.map { case (at, all) =>
      val matches = all.count(_.passes).toLong
      if (sample == 1) Seq(at.toLong, all.size.toLong, matches) else Seq(at.toLong, matches)
    }
    (labels, said, isDrawn)
  }

  /** A number from 0 to 1 for each row, by its key. */
  private def chance(sample: Int): Expression = {
    val number = new XxHash64(Seq(key, Literal(seed), Literal(sample)))
    Multiply(Cast(ShiftRightUnsigned(number, Literal(11)), DoubleType), Literal(math.pow(2, -53)))
  }

  private def rate(rates: Seq[Seq[Double]]): Expression = {
    val all = new Array[Double](Manifest.bins)
    rates.foreach(each => all(each.head.toInt) = each(1))
    val array = Literal.create(new GenericArrayData(all), ArrayType(DoubleType, containsNull = false))
    GetArrayItem(array, place, failOnError = false)
  }

  private def labelled(chosen: LogicalPlan): Seq[Label] = {
    val score = AttributeReference(call.name, call.dataType)()
    val passed = BindReferences.bindReference(passes(score), AttributeSeq(Seq(score)))
    collected(Project(Seq(key, place, score), Proof.scored(call, score, chosen))).map { row =>
      val value = row.get(2, call.dataType)
      Label(row.getLong(0), row.getInt(1), value, passed.eval(InternalRow(value)) == true)
    }
  }

  private def asked(counts: Counts, known: Map[String, Any]): JValue = {
    val said = Map("recall" -> Settings.recall(call), "confidence" -> Settings.confidence(call),
      "rows" -> counts.single.map { case (at, count) => Seq(at.toLong, count) })
    val step = ScalarFunction.plain(Manifest.withRole("bound"), Seq(Literal(write(said ++ known))))
    parse(collected(TextOnce.row(step)).head.getString(0))
  }

  /** By an execution of its own, which the UI lists below the query's. */
  private def collected(rows: LogicalPlan): Seq[InternalRow] = {
    val plan = constant(rows)
    plan.setAnalyzed()
    val execution = session.sessionState.executePlan(plan)
    SQLExecution.withNewExecutionId(execution, Some("find all: a sample")) {
      execution.executedPlan.executeCollect().toSeq.map(_.copy())
    }
  }

  /** With the values of subqueries, each made once. Spark would make them in the threads of one pool, in which this waits
   * itself: were it full of such, none would end. */
  private def constant(plan: LogicalPlan): LogicalPlan = plan.transformAllExpressions {
    case subquery: ScalarSubquery if subquery.children.isEmpty => values.getOrElseUpdate(subquery.canonicalized, {
      val value = collected(Limit(Literal(2), subquery.plan))
      if (value.size > 1) subquery // an error, which Spark says
      else Literal(value.headOption.map(_.get(0, subquery.dataType)).orNull, subquery.dataType)
    })
    case subquery: SubqueryExpression => subquery.withNewPlan(constant(subquery.plan))
  }

  private val values = mutable.Map[Expression, Expression]()
}

/** A value that no condition on it is pushed below: each of its mentions there would compute it anew. */
case class MadeOnce(child: Expression) extends UnaryExpression {
  override lazy val deterministic: Boolean = false
  override def dataType: DataType = child.dataType
  override def eval(input: InternalRow): Any = child.eval(input)
  override def genCode(context: CodegenContext): ExprCode = child.genCode(context)
  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode = child.genCode(context)
  override protected def withNewChildInternal(newChild: Expression): MadeOnce = copy(newChild)
}

/** A row of a sample: its score and whether the WHERE keeps it. */
case class Label(key: Long, bin: Int, score: Any, passes: Boolean)

/** Rows by bin; how many lie in none and are always scored; the keys of those that have a double. */
case class Counts(single: Seq[(Int, Long)], none: Long, doubles: Seq[Long])

object Sampled {
  private val most = 1000000L // doubles that are sent to every task at most
  private val seed = 0

  /** The more similar, the higher; NULL of no similarity. */
  private def binned(similarity: Expression): Expression = {
    val bins = Manifest.bins
    val place = Floor(Multiply(Add(Cast(similarity, DoubleType), Literal(1.0)), Literal((bins / 2).toDouble)))
    val within = Cast(Least(Seq(Greatest(Seq(place, Literal(0L))), Literal(bins - 1L))), IntegerType)
    If(IsNull(similarity), Literal.create(null, IntegerType), within)
  }
}
