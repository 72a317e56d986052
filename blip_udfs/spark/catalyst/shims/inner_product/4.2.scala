package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.expressions.{Expression, Literal, VectorInnerProduct}

trait InnerProductShim {
  /** The inner product of two ARRAY<FLOAT>, FLOAT, as optimized plans hold it: Spark's own, its errors of our function. */
  def innerProduct(left: Expression, right: Expression): Expression =
    VectorInnerProduct(left, right).replacement
      .withNewChildren(Seq(left, right, Literal(Manifest.withRole("similarity").name)))
}
