package org.apache.spark.sql.blip

import java.io.ByteArrayOutputStream
import java.nio.{ByteBuffer, ByteOrder}
import java.nio.charset.StandardCharsets.{US_ASCII, UTF_8}

import org.apache.spark.sql.catalyst.expressions.PythonUDF

/**
 * What a worker unpickles for a call: `blip_udfs.spark.calls.bound(name, return type, settings)`. The settings of the
 * query are part of its plan by that, as the session's time zone is: no cached result of one model answers another's.
 */
object Command {
  private val start = 128.toByte +: 3.toByte +: "cblip_udfs.spark.calls\nbound\n".getBytes(US_ASCII) // PROTO 3, GLOBAL
  private val end = Array[Byte](0x87.toByte, 'R', '.') // TUPLE3, REDUCE, STOP
  private val text: Byte = 'X'
  private val binary: Byte = 'B'

  def apply(record: Manifest.Record, settings: String): Seq[Byte] = {
    val out = new ByteArrayOutputStream()
    out.write(start)
    Seq(text -> record.name.getBytes(UTF_8), binary -> record.command.toArray, text -> settings.getBytes(UTF_8)).foreach {
      case (kind, value) =>
        out.write(kind.toInt)
        out.write(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value.length).array)
        out.write(value)
    }
    out.write(end)
    out.toByteArray.toSeq
  }

  /** The name of our function that a call is of; None for a function of others, whatever its name. */
  def name(call: PythonUDF): Option[String] = parts(call).map(_.head)

  /** The settings of a call of ours, JSON. */
  def settings(call: PythonUDF): String = parts(call).get.last

  private def parts(call: PythonUDF): Option[Seq[String]] =
    if (!call.func.command.startsWith(start)) None
    else {
      val rest = ByteBuffer.wrap(call.func.command.toArray).order(ByteOrder.LITTLE_ENDIAN)
      rest.position(start.length)
      Some(Seq.fill(3) {
        rest.get()
        val value = new Array[Byte](rest.getInt())
        rest.get(value)
        new String(value, UTF_8)
      })
    }
}
