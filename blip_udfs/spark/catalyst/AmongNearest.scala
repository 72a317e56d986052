package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Expression, Nondeterministic}
import org.apache.spark.sql.catalyst.expressions.codegen.{CodegenContext, ExprCode, FalseLiteral, JavaCode}
import org.apache.spark.sql.catalyst.expressions.codegen.Block._
import org.apache.spark.sql.catalyst.util.{ArrayData, GenericArrayData}
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.types.UTF8String

/**
 * The sentences of which a row may be among the `count` nearest: those that it is among so far in its partition (0: all
 * sentences). NULL where there is none.
 *
 * @param vector  the row's embedding
 * @param refused NULL where the row may be a candidate; one that may not comes behind all others
 * @param asked   the sentences, ARRAY<STRUCT<name, sentence, embedding>>: the same for every row
 */
case class AmongNearest(vector: Expression, refused: Expression, asked: Expression, count: Int)
    extends Expression with Nondeterministic {
  @transient private var soFar: NearestSoFar = _

  override def children: Seq[Expression] = Seq(vector, refused, asked)
  override def dataType: DataType = AmongNearest.hits
  override def nullable: Boolean = true
  override def stateful: Boolean = true
  override def prettyName: String = "among_nearest"

  override protected def initializeInternal(partitionIndex: Int): Unit = soFar = new NearestSoFar(count)

  override protected def evalInternal(input: InternalRow): Any = soFar.hits(
    vector.eval(input).asInstanceOf[ArrayData], refused.eval(input) != null, asked.eval(input).asInstanceOf[ArrayData])

  override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode = {
    val name = classOf[NearestSoFar].getName
    val state = context.addMutableState(name, "nearest", each => s"$each = new $name($count);")
    val Seq(embedding, why, sentences) = children.map(_.genCode(context))
    val array = classOf[ArrayData].getName
    code.copy(code = code"""
      ${embedding.code}
      ${why.code}
      ${sentences.code}
      $array ${code.value} = $state.hits(${embedding.isNull} ? null : ${embedding.value}, !${why.isNull}, ${sentences.value});
      boolean ${code.isNull} = ${code.value} == null;""")
  }

  override protected def withNewChildrenInternal(newChildren: IndexedSeq[Expression]): AmongNearest =
    copy(newChildren(0), newChildren(1), newChildren(2))
}

object AmongNearest {
  val Seq(place, similarity, name, sentence) = Seq(0, 1, 2, 3) // fields of a hit
  val hits: ArrayType = ArrayType(StructType(Seq(
    StructField("blip_place", IntegerType, nullable = false), StructField("blip_similarity", FloatType),
    StructField("blip_name", StringType, nullable = false), StructField("blip_sentence", StringType, nullable = false))),
    containsNull = false)
}

/** The nearest of each sentence among a partition's rows so far. */
class NearestSoFar(count: Int) {
  private var sentences: Sentences = _
  private var near: Array[Float] = _
  private var kept: Array[Greatest] = _
  private var floors: Array[Float] = _ // of each sentence the least that is kept, NaN before there are `count`

  def hits(vector: ArrayData, isRefused: Boolean, asked: ArrayData): ArrayData = {
    if (sentences == null) begin(asked)
    val usable = sentences.similarities(vector, near)
    val ranked = usable && !isRefused && count > 0
    var found: List[Any] = Nil
    var place = near.length - 1
    while (place >= 0) {
      val isBehind = ranked && near(place) <= floors(place) && near(place) > NearestSoFar.unusable
      if (!isBehind) found = hit(place, usable, isRefused) ++: found
      place -= 1
    }
    if (found.isEmpty) null else new GenericArrayData(found.toArray[Any])
  }

  private def hit(place: Int, usable: Boolean, isRefused: Boolean): Option[InternalRow] = {
    val value = near(place)
    val isSimilarity = usable && !value.isNaN && !value.isInfinite
    val rank = if (isRefused) NearestSoFar.refused else if (isSimilarity) value else NearestSoFar.unusable
    val isHit = count == 0 || kept(place).takes(rank)
    if (isHit && count > 0) floors(place) = kept(place).floor
    val similarity: Any = if (isSimilarity) value else null
    if (isHit) Some(InternalRow(place, similarity, sentences.names(place), sentences.texts(place))) else None
  }

  private def begin(asked: ArrayData): Unit = {
    sentences = new Sentences(asked)
    near = new Array[Float](asked.numElements())
    kept = Array.fill(near.length)(new Greatest(count))
    floors = Array.fill(near.length)(Float.NaN)
  }
}

object NearestSoFar {
  val unusable: Float = -2e38f // behind every similarity, one behind the other
  val refused: Float = -3e38f
}

/** The `count` greatest numbers so far. */
private class Greatest(count: Int) {
  private val numbers = new java.util.PriorityQueue[java.lang.Float]()

  /** Whether a number is among them, which then is one of them. */
  def takes(number: Float): Boolean =
    if (numbers.size < count) numbers.add(number)
    else if (number > numbers.peek) { numbers.poll(); numbers.add(number) }
    else false

  /** What a number must be above to be one; NaN where any is. */
  def floor: Float = if (numbers.size < count) Float.NaN else numbers.peek
}

/** Names, texts and embeddings; an error where they cannot be searched for. */
private class Sentences(asked: ArrayData) {
  private val rows = Array.tabulate(asked.numElements())(asked.getStruct(_, 3))
  rows.foreach { row =>
    if (row.isNullAt(0) || row.isNullAt(1)) refuse("a name and a sentence in each row", "NULL")
  }
  val names: Array[UTF8String] = rows.map(_.getUTF8String(0).clone())
  val texts: Array[UTF8String] = rows.map(_.getUTF8String(1).clone())
  if (rows.isEmpty) refuse("one sentence or more", "none")
  names.groupBy(identity).find(_._2.length > 1).foreach { case (name, all) =>
    refuse("each name once", s"'$name' ${all.length} times")
  }
  private val size = rows.head.getArray(2).numElements()
  private val product = Product.of(rows.map(_.getArray(2).toFloatArray()), size)

  /** Of a row's vector, into `out`; whether there are any: it may be NULL, of another length, zero, or hold a NULL. */
  def similarities(vector: ArrayData, out: Array[Float]): Boolean =
    vector != null && vector.numElements() == size && !hasNull(vector) && {
      val numbers = vector.toFloatArray()
      product(numbers, out)
      numbers.exists(_ != 0.0f)
    }

  private def hasNull(vector: ArrayData): Boolean = {
    var at = 0
    while (at < size && !vector.isNullAt(at)) at += 1
    at < size
  }

  private def refuse(expected: String, got: String): Nothing =
    throw new IllegalArgumentException(s"blip_search: queries: expected $expected, got $got")
}
