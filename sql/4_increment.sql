-- What `blip-udfs embed` stands for: images of the ONCE tree at ${root} that ${table} has no row of, for their path,
-- modification time, length and the session's model, are embedded. The command does it in parts, each of them kept
-- whatever is killed, and says how far it is and what was changed, deleted or failed.
CREATE TABLE IF NOT EXISTS ${table} (
  frame_id STRING, camera STRING, timestamp TIMESTAMP, weather STRING, period STRING, region STRING, image STRING,
  modified TIMESTAMP, length BIGINT, embedding ARRAY<FLOAT>, model STRING, error STRING, similar_to STRING, version INT,
  sequence_id STRING, batch STRING
) USING parquet PARTITIONED BY (sequence_id, batch);

INSERT INTO ${table}
WITH newest AS (
  SELECT image, max(version) AS version, max_by(struct(modified, length), version) AS file
  FROM ${table} WHERE model = blip_model() GROUP BY image
),
embedded AS (
  SELECT once.*, coalesce(newest.version, 0) + 1 AS version, try_blip_image_embed(once.image) AS embedding
  FROM read_once('${root}') AS once LEFT JOIN newest ON newest.image = once.image
  WHERE NOT newest.file <=> struct(once.modified, once.length)
)
SELECT frame_id, camera, timestamp, weather, period, region, image, modified, length, embedding, blip_model() AS model,
       blip_image_error(if(embedding IS NULL, image, NULL)) AS error, NULL AS similar_to, version, sequence_id,
       concat('sql-', date_format(current_timestamp(), 'yyyyMMdd-HHmmss')) AS batch
FROM embedded;

-- What a search wants: rows of the session's model, and of images that were embedded again only the newest.
CREATE OR REPLACE VIEW once_search AS
SELECT /*+ BROADCAST(newer) */ sequence_id, frame_id, camera, timestamp, weather, period, region, image, embedding, model
FROM ${table} AS row
LEFT ANTI JOIN (SELECT image, model, version FROM ${table} WHERE version > 1) AS newer
  ON newer.image = row.image AND newer.model = row.model AND newer.version > row.version
WHERE model = blip_model() AND error IS NULL;
