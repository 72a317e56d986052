package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Expression, Literal}
import org.apache.spark.sql.catalyst.expressions.objects.StaticInvoke
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.types.{ArrayType, FloatType, StringType}
import org.apache.spark.unsafe.types.UTF8String

trait InnerProductShim {
  /** The inner product of two ARRAY<FLOAT>, FLOAT, as optimized plans hold it. Spark has its own from 4.2 on. */
  def innerProduct(left: Expression, right: Expression): Expression = StaticInvoke(
    InnerProduct.getClass, FloatType, "of", Seq(left, right, Literal(Manifest.withRole("similarity").name)),
    Seq(ArrayType(FloatType), ArrayType(FloatType), StringType))
}

/** What generated code calls. */
object InnerProduct {
  /** NULL where an element is, as Spark's own. */
  def of(left: ArrayData, right: ArrayData, function: UTF8String): java.lang.Float = {
    val length = left.numElements()
    if (length != right.numElements()) throw new IllegalArgumentException(
      s"$function: expected two vectors of the same length, got $length and ${right.numElements()}")
    var sum = 0f
    var at = 0
    while (at < length) {
      if (left.isNullAt(at) || right.isNullAt(at)) return null
      sum += left.getFloat(at) * right.getFloat(at)
      at += 1
    }
    sum
  }
}
