-- Groups of look-alike frames: a camera's frames one after the other, as long as each resembles the one before.
-- How alike is alike depends on the model: 0.95 suits the bundled one.
WITH steps AS (
  SELECT sequence_id, camera, frame_id, timestamp, blip_similarity(embedding, lag(embedding) OVER drive) AS alike
  FROM once_embeddings
  WINDOW drive AS (PARTITION BY sequence_id, camera ORDER BY timestamp)
),
numbered AS (
  SELECT *, count_if(alike IS NULL OR alike < 0.95) OVER (PARTITION BY sequence_id, camera ORDER BY timestamp) AS number
  FROM steps
)
SELECT sequence_id, camera, number, count(*) AS frames, min_by(frame_id, timestamp) AS first_frame,
       max_by(frame_id, timestamp) AS last_frame, sort_array(collect_list(frame_id)) AS members
FROM numbered
GROUP BY sequence_id, camera, number
ORDER BY frames DESC, sequence_id, camera, number;
