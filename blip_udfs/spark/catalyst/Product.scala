package org.apache.spark.sql.blip

import dev.ludovic.netlib.blas.BLAS

/** The inner products of many vectors with one, each into its place. */
private[blip] abstract class Product extends ((Array[Float], Array[Float]) => Unit)

private[blip] object Product {
  def of(vectors: Array[Array[Float]], size: Int): Product =
    vectorized.fold[Product](new ByColumns(vectors, size))(new ByLibrary(_, vectors, size))

  /**
   * The BLAS that Spark brings, where it computes with the processor's vectors: the JVM must have the module, as Spark
   * starts it from 4.0 on, of which each Java may have another. Its public door tries native libraries first, whose
   * loader prints to the terminal.
   */
  private lazy val vectorized: Option[BLAS] =
    try {
      val made = Class.forName("dev.ludovic.netlib.blas.VectorBLAS").getDeclaredMethod("getInstance")
      made.setAccessible(true)
      Some(made.invoke(null).asInstanceOf[BLAS]).filter(multiplies)
    } catch { case _: Exception | _: LinkageError => None }

  private def multiplies(blas: BLAS): Boolean = {
    val (ones, products) = (Array.fill(2 * 33)(1.0f), new Array[Float](2))
    new ByLibrary(blas, ones.grouped(33).toArray, 33)(ones.take(33), products)
    products.forall(_ == 33.0f)
  }
}

/** Three to six times as fast as the JVM's own loops, which it does not always vectorize. */
private class ByLibrary(blas: BLAS, vectors: Array[Array[Float]], size: Int) extends Product {
  private val matrix = vectors.flatten // (S, D)

  override def apply(vector: Array[Float], out: Array[Float]): Unit =
    blas.sgemv("T", size, out.length, 1.0f, matrix, size, vector, 1, 0.0f, out, 1)
}

private class ByColumns(vectors: Array[Array[Float]], size: Int) extends Product {
  private val turned = Array.tabulate(size)(at => vectors.map(_(at))) // (D, S): loops over a column's vectors vectorize

  override def apply(vector: Array[Float], out: Array[Float]): Unit = {
    java.util.Arrays.fill(out, 0.0f)
    var at = 0
    while (at + 4 <= size) {
      addFour(vector, at, out)
      at += 4
    }
    while (at < size) {
      add(vector(at), turned(at), out)
      at += 1
    }
  }

  /** Four columns at once: `out` is read and written once for them. */
  private def addFour(numbers: Array[Float], at: Int, out: Array[Float]): Unit = {
    val (a, b, c, d) = (turned(at), turned(at + 1), turned(at + 2), turned(at + 3))
    val (first, second, third, fourth) = (numbers(at), numbers(at + 1), numbers(at + 2), numbers(at + 3))
    var place = 0
    while (place < out.length) {
      out(place) += first * a(place) + second * b(place) + third * c(place) + fourth * d(place)
      place += 1
    }
  }

  private def add(number: Float, column: Array[Float], out: Array[Float]): Unit = {
    var place = 0
    while (place < out.length) {
      out(place) += number * column(place)
      place += 1
    }
  }
}
