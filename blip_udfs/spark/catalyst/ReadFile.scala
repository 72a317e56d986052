package org.apache.spark.sql.blip

import org.apache.spark.broadcast.Broadcast
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Expression, UnaryExpression}
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.types.{BinaryType, DataType}
import org.apache.spark.unsafe.types.UTF8String
import org.apache.spark.util.SerializableConfiguration

/**
 * A path or URI, STRING -> what a worker takes in its place, BINARY (`blip_udfs/files/carried.py`): the path where the
 * worker is to read it, else the file's bytes, or why they cannot be read. `everything`: local files too. `asked`: not
 * the bytes but the file's length and modification time.
 */
case class ReadFile(
    child: Expression, everything: Boolean, asked: Boolean, hadoop: Broadcast[SerializableConfiguration])
  extends UnaryExpression with CodegenFallback {

  override def dataType: DataType = BinaryType
  override def nullable: Boolean = child.nullable
  override def foldable: Boolean = false // a constant's file is read by a task
  override def prettyName: String = "blip_file"
  override def toString: String = s"$prettyName($child)"

  @transient private lazy val files = new ImageFiles(hadoop.value.value, everything, Doors.ofExecutor)

  override def eval(row: InternalRow): Any = {
    val path = child.eval(row)
    if (path == null) null else files.carried(path.asInstanceOf[UTF8String].toString, asked)
  }

  override protected def withNewChildInternal(changed: Expression): ReadFile = copy(child = changed)
}
