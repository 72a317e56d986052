package org.apache.spark.sql.blip

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan
import org.apache.spark.sql.execution.{LeafExecNode, SQLExecution}
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}

/** Runs the jobs of Sampled when its rows are asked for, then scores what lies above the bound that they prove. */
case class FoundExec(found: Found) extends LeafExecNode {
  override def output: Seq[Attribute] = found.output

  override lazy val metrics: Map[String, SQLMetric] = Map(
    "rows" -> SQLMetrics.createMetric(sparkContext, "rows"),
    "labels" -> SQLMetrics.createMetric(sparkContext, "labelled rows"),
    "scored" -> SQLMetrics.createMetric(sparkContext, "rows that ITM scores"))

  @transient private lazy val parts: Seq[RDD[InternalRow]] = {
    val sampled = new Sampled(found)
    val answer = sampled.answer
    Seq("rows" -> answer.rows, "labels" -> answer.labels.size.toLong, "scored" -> answer.scored).foreach {
      case (name, value) => metrics(name).set(value)
    }
    val execution = sparkContext.getLocalProperty(SQLExecution.EXECUTION_ID_KEY)
    SQLMetrics.postDriverMetricUpdates(sparkContext, execution, metrics.values.toSeq)
    FindAllReport(found.session, answer)
    sampled.kept(answer).map(_.execute())
  }

  override protected def doExecute(): RDD[InternalRow] = sparkContext.union(parts)

  override def innerChildren: Seq[LogicalPlan] = Seq(found)
  override def simpleString(maxFields: Int): String = s"FindAll ${found.condition}, ${Found.shown(found.call)}"
}
