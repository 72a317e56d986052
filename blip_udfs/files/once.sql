-- The rows of an ONCE tree from three relations:
--   images   place STRING, sequence_id STRING, camera STRING, path STRING, modificationTime TIMESTAMP, length BIGINT,
--            content BINARY    data/<sequence>/<camera>/<frame>.jpg; `place` is data/<sequence>
--   records  place STRING, sequence_id STRING, value STRING    data/<sequence>/<sequence>.json as once_text gives it
--   lists    name STRING, value STRING    ImageSets/<name>.txt as once_text gives it
WITH image_files AS (
  SELECT place, sequence_id, camera, regexp_extract(path, '/([^/]+)[.][^./]+$', 1) AS frame_id, {image} AS image,
         modificationTime AS modified, length
  FROM {images}
),
sequences AS (
  SELECT place, sequence_id, from_json(
           value,
           'problem STRING, frames ARRAY<STRUCT<frame_id: STRING, timestamp: BIGINT, weather: STRING, period: STRING,
             seen: MAP<STRING, ARRAY<STRING>>, unfit: STRING>>'
         ) AS content
  FROM {records}
),
frames AS (  -- outer: else Spark would read each JSON twice, to ask first whether it has frames
  SELECT place, sequence_id, inline_outer(content.frames) FROM sequences
),
listed AS (
  SELECT sequence_id, collect_set(name) AS splits
  FROM (SELECT name, explode_outer(from_json(value, 'ARRAY<STRING>')) AS sequence_id FROM {lists})
  GROUP BY sequence_id
),
regional AS (
  SELECT words[0] AS sequence_id, first(words[1]) AS region
  FROM (
    SELECT split(line, '[ \t]+', 2) AS words
    FROM (SELECT explode_outer(from_json(value, 'ARRAY<STRING>')) AS line FROM {lists} WHERE name = 'region_type')
  )
  WHERE size(words) = 2
  GROUP BY words[0]
),
joined AS (
  SELECT i.*, f.timestamp, f.weather, f.period, r.region, coalesce(l.splits, array()) AS splits,
         try_element_at(f.seen, i.camera) AS seen, f.unfit, f.frame_id IS NOT NULL AS has_record,
         concat(i.place, '/', i.sequence_id, '.json') AS json, s.place IS NOT NULL AS has_json,
         s.content.problem AS broken
  FROM image_files i
  LEFT JOIN sequences s ON i.sequence_id = s.sequence_id AND i.place = s.place
  LEFT JOIN frames f ON i.sequence_id = f.sequence_id AND i.place = f.place AND i.frame_id = f.frame_id
  LEFT JOIN regional r ON i.sequence_id = r.sequence_id
  LEFT JOIN listed l ON i.sequence_id = l.sequence_id
)
SELECT sequence_id, frame_id, camera, image, timestamp_millis(timestamp) AS timestamp, weather, period, region,
       get(filter({splits}, split -> array_contains(splits, split)), 0) AS split,
       array_sort(array_distinct(seen)) AS classes,
       map_from_entries(
         transform(array_distinct(seen), class -> struct(class, size(filter(seen, other -> other = class))))
       ) AS counts,
       CASE WHEN NOT has_json THEN concat('no file ', json)
            WHEN broken IS NOT NULL THEN concat(json, ' ', broken)
            WHEN NOT has_record THEN concat('no record for frame ', frame_id, ' in ', json)
            WHEN unfit IS NOT NULL THEN concat(unfit, ' of another form for frame ', frame_id, ' in ', json)
       END AS problem,
       modified, length,
       splits
FROM joined
