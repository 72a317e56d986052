-- What a search found, as the devkit's ImageSets/<split>.txt: one sequence_id a line, in a file of folder ${out}; and
-- the frames themselves, as sequence_id/frame_id lines. Copy sequences/part-*.txt to ImageSets/ under a name.
--   blip-udfs sql -d out=/tmp/found -f sql/recipes/export.sql
CACHE TABLE found AS
SELECT sequence_id, frame_id, score
FROM blip_search('once_embeddings', 'a truck in the rain', k => 50);

INSERT OVERWRITE DIRECTORY '${out}/sequences' USING text
SELECT /*+ COALESCE(1) */ sequence_id FROM found GROUP BY sequence_id ORDER BY sequence_id;

INSERT OVERWRITE DIRECTORY '${out}/frames' USING text
SELECT /*+ COALESCE(1) */ concat_ws('/', sequence_id, frame_id) AS line FROM found GROUP BY ALL ORDER BY line;
