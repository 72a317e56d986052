-- The best moments of a sentence, and of each what all cameras saw at that time, side by side.
WITH moments AS (
  SELECT sequence_id, frame_id, max(score) AS score
  FROM blip_search('once_embeddings', 'a truck at night', k => 256)
  GROUP BY sequence_id, frame_id
  ORDER BY score DESC LIMIT 4
)
SELECT sequence_id, frame_id, camera, weather, period, image, score
FROM moments JOIN once_embeddings USING (sequence_id, frame_id)
ORDER BY score DESC, sequence_id, frame_id, camera;
