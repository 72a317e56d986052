package org.apache.spark.sql.blip

import java.nio.charset.StandardCharsets.UTF_8
import java.util.Base64

import org.json4s.{DefaultFormats, Formats, JValue}
import org.json4s.jackson.JsonMethods.parse

import org.apache.spark.sql.catalyst.expressions.{ExpressionInfo, PythonUDF}
import org.apache.spark.sql.types.DataType

/** The catalog of functions as Python wrote it into the jar. No function is named here. */
object Manifest {
  private implicit val formats: Formats = DefaultFormats

  case class Parameter(name: String, types: Seq[String], meaning: String, default: Option[String]) {
    lazy val accepted: Seq[DataType] = types.map(DataType.fromDDL)
  }

  case class Description(usage: String, arguments: String, examples: String)

  case class Record(
      name: String,
      kind: String,
      parameters: Seq[Parameter],
      returns: String,
      description: Description,
      since: String,
      role: Option[String],
      part: Option[String],
      tolerant: Boolean,
      deterministic: Boolean,
      evalType: Int,
      command: Seq[Byte]) {

    /** What DESCRIBE FUNCTION EXTENDED shows. */
    def info: ExpressionInfo = new ExpressionInfo(
      classOf[BlipExtensions].getName, null, name, description.usage, description.arguments, description.examples,
      "", "", since, "", "python_udf")
  }

  lazy val records: Seq[Record] = (parse(resource("manifest.json")) \ "functions").children.map(record)
  lazy val scalars: Seq[Record] = records.filter(_.kind == "scalar")
  private lazy val byName: Map[String, Record] = scalars.map(record => record.name -> record).toMap

  /** The record of one of our functions that a call is of, from SQL or from a DataFrame. */
  def of(call: PythonUDF): Option[Record] = byName.get(call.name).filter(_.evalType == call.evalType)

  def has(call: PythonUDF, roles: String*): Boolean = of(call).exists(_.role.exists(roles.contains))

  def withRole(role: String): Record = records.find(_.role.contains(role)).get

  /** The version of Spark that the jar was compiled for. */
  lazy val sparkVersion: String = (parse(resource("manifest.json")) \ "spark").extract[String]

  def resource(name: String): String = {
    val stream = classOf[BlipExtensions].getResourceAsStream(s"/blip_udfs/$name")
    try new String(stream.readAllBytes(), UTF_8) finally stream.close()
  }

  private def record(json: JValue): Record = Record(
    name = (json \ "name").extract[String],
    kind = (json \ "kind").extract[String],
    parameters = (json \ "parameters").children.map { each =>
      Parameter(
        (each \ "name").extract[String], (each \ "types").extract[Seq[String]],
        (each \ "meaning").extract[String], (each \ "default").extractOpt[String])
    },
    returns = (json \ "returns").extract[String],
    description = (json \ "description").extract[Description],
    since = (json \ "since").extract[String],
    role = (json \ "role").extractOpt[String],
    part = (json \ "part").extractOpt[String],
    tolerant = (json \ "tolerant").extractOrElse(false),
    deterministic = (json \ "deterministic").extractOrElse(true),
    evalType = (json \ "evalType").extractOrElse(0),
    command = (json \ "command").extractOpt[String].fold(Seq.empty[Byte])(Base64.getDecoder.decode(_).toSeq))
}
