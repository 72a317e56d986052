package org.apache.spark.sql.blip

import org.apache.spark.sql.catalyst.FunctionIdentifier
import org.apache.spark.sql.catalyst.expressions.{Expression, InheritAnalysisRules, RuntimeReplaceable}

/** `blip_similarity(a, b)`: the inner product of two embeddings, by Spark itself and in no worker. */
case class Similarity(parameters: Seq[Expression], replacement: Expression)
    extends RuntimeReplaceable with InheritAnalysisRules {
  override def prettyName: String = Manifest.withRole("similarity").name
  override protected def withNewChildInternal(newChild: Expression): Similarity = copy(replacement = newChild)
}

object Similarity {
  def description(record: Manifest.Record): ScalarFunction.Description =
    (FunctionIdentifier(record.name), record.info, passed => {
      val vectors = ScalarFunction.checked(record, passed)
      Similarity(vectors, Shims.innerProduct(vectors.head, vectors(1)))
    })
}
