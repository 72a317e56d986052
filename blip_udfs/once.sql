-- The rows of an ONCE tree from four relations:
--   images   sequence_id STRING, camera STRING, path STRING, modificationTime TIMESTAMP, length BIGINT, content BINARY
--            data/<sequence>/<camera>/<frame>.jpg
--   records  sequence_id STRING, value STRING    the text of every data/<sequence>/<sequence>.json
--   splits   path STRING, value STRING      the lines of ImageSets/*.txt
--   regions  value STRING                   the lines of region_type.txt
WITH image_files AS (
  SELECT sequence_id, camera, regexp_extract(path, '/([^/]+)[.][^./]+$', 1) AS frame_id, {image} AS image,
         modificationTime AS modified, length
  FROM {images}
),
sequences AS (
  SELECT sequence_id,
         from_json(
           value,
           'frames ARRAY<STRUCT<frame_id: STRING, timestamp: STRING, meta_info: STRUCT<weather: STRING, period: STRING>,
             annos: STRUCT<names: ARRAY<STRING>, boxes_2d: MAP<STRING, ARRAY<ARRAY<DOUBLE>>>>>>,
            meta_info STRUCT<weather: STRING, period: STRING>, broken STRING',
           map('mode', 'PERMISSIVE', 'columnNameOfCorruptRecord', 'broken')
         ) AS content
  FROM {records}
),
frames AS (  -- one row per key: a record that stands twice must not double an image
  SELECT sequence_id, frame.frame_id AS frame_id, first(struct(frame, content.meta_info)) AS record
  FROM (SELECT sequence_id, content, explode(content.frames) AS frame FROM sequences WHERE content.broken IS NULL)
  GROUP BY sequence_id, frame.frame_id
),
listed AS (
  SELECT trim(value) AS sequence_id, collect_set(regexp_extract(path, '/([^/]+)[.]txt$', 1)) AS splits
  FROM {splits}
  WHERE trim(value) <> ''
  GROUP BY trim(value)
),
regional AS (
  SELECT split(trim(value), '[ \t]+')[0] AS sequence_id, first(get(split(trim(value), '[ \t]+'), 1)) AS region
  FROM {regions}
  WHERE trim(value) RLIKE '[^ \t]+[ \t]+[^ \t]+'
  GROUP BY split(trim(value), '[ \t]+')[0]
),
joined AS (
  SELECT i.*, f.record.frame AS frame, f.record.meta_info AS drive, r.region, coalesce(l.splits, array()) AS splits,
         concat('data/', i.sequence_id, '/', i.sequence_id, '.json') AS json,
         s.sequence_id IS NOT NULL AS has_json, s.content.broken IS NOT NULL AS is_broken,
         f.frame_id IS NOT NULL AS has_record,
         filter(
           transform(
             f.record.frame.annos.names,
             (name, n) -> if(
               get(get(try_element_at(f.record.frame.annos.boxes_2d, i.camera), n), 0) >= 0, name, NULL
             )
           ),
           name -> name IS NOT NULL
         ) AS seen
  FROM image_files i
  LEFT JOIN sequences s ON i.sequence_id = s.sequence_id
  LEFT JOIN frames f ON i.sequence_id = f.sequence_id AND i.frame_id = f.frame_id
  LEFT JOIN regional r ON i.sequence_id = r.sequence_id
  LEFT JOIN listed l ON i.sequence_id = l.sequence_id
)
SELECT sequence_id, frame_id, camera, image,
       timestamp_millis(try_cast(frame.timestamp AS BIGINT)) AS timestamp,
       coalesce(frame.meta_info.weather, drive.weather) AS weather,
       coalesce(frame.meta_info.period, drive.period) AS period,
       region,
       get(
         filter(array('train', 'val', 'test', 'raw_small', 'raw_medium', 'raw_large'), s -> array_contains(splits, s)), 0
       ) AS split,
       array_sort(array_distinct(seen)) AS classes,
       map_from_entries(
         transform(array_distinct(seen), class -> struct(class, size(filter(seen, other -> other = class))))
       ) AS counts,
       CASE WHEN NOT has_json THEN concat('no file ', json)
            WHEN is_broken THEN concat(json, ' is not valid JSON')
            WHEN NOT has_record THEN concat('no record for frame ', frame_id, ' in ', json)
       END AS problem,
       modified, length,
       splits
FROM joined
