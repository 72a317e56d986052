-- The best frame of each sequence and each 2 seconds of it: what lasts longer is shown again.
SELECT sequence_id, moment.start AS since, best.*, score
FROM (
  SELECT sequence_id, window(timestamp, '2 seconds') AS moment,
         max_by(struct(frame_id, camera, weather, period, image), score) AS best, max(score) AS score
  FROM blip_search('once_embeddings', 'a truck at night', k => 256)
  GROUP BY sequence_id, window(timestamp, '2 seconds')
)
ORDER BY score DESC LIMIT 12;
