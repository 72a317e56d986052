-- What `blip-udfs embed` stands for: images of the ONCE tree at ${root} that ${table} has no row of, for their path,
-- modification time, length and the session's model, are embedded. The command does it in parts, each of them kept
-- whatever is killed, and says how far it is and what was changed, deleted or failed.
CREATE TABLE IF NOT EXISTS ${table} USING parquet PARTITIONED BY (sequence_id, batch) AS
SELECT * EXCEPT (split, classes, counts, problem), CAST(NULL AS ARRAY<FLOAT>) AS embedding, '' AS model, '' AS error,
       '' AS similar_to, 1 AS version, '' AS batch
FROM read_once('${root}') WHERE false;

INSERT INTO ${table} BY NAME
WITH newest AS (
  SELECT image, max(version) AS version, max_by(struct(modified, length), version) AS file
  FROM ${table} WHERE model = blip_model() GROUP BY image
),
embedded AS (
  SELECT once.* EXCEPT (split, classes, counts, problem), coalesce(newest.version, 0) + 1 AS version,
         try_blip_image_embed(once.image) AS embedding
  FROM read_once('${root}') AS once LEFT JOIN newest ON newest.image = once.image
  WHERE NOT newest.file <=> struct(once.modified, once.length)
)
SELECT *, blip_model() AS model, blip_image_error(if(embedding IS NULL, image, NULL)) AS error,
       CAST(NULL AS STRING) AS similar_to,
       concat('sql-', date_format(current_timestamp(), 'yyyyMMdd-HHmmss')) AS batch
FROM embedded;

-- What a search wants: rows of the session's model, and of images that were embedded again only the newest.
CREATE OR REPLACE VIEW once_search AS
SELECT /*+ BROADCAST(newer) */ row.* EXCEPT (modified, length, error, version, batch)
FROM ${table} AS row
LEFT ANTI JOIN (SELECT image, model, version FROM ${table} WHERE version > 1) AS newer
  ON newer.image = row.image AND newer.model = row.model AND newer.version > row.version
WHERE model = blip_model() AND error IS NULL;
