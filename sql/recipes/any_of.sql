-- Frames that match any of several sentences: the score is the greatest of the probabilities.
WITH candidates AS (
  SELECT *
  FROM once_embeddings
  ORDER BY greatest(blip_similarity(embedding, blip_text_embed('a pedestrian')),
                    blip_similarity(embedding, blip_text_embed('a cyclist'))) DESC
  LIMIT 256
)
SELECT sequence_id, frame_id, camera, weather, period, image, array_max(matches) AS score
FROM (SELECT *, try_blip_itm_many(image, array('a pedestrian', 'a cyclist')) AS matches FROM candidates)
ORDER BY score DESC LIMIT 12;
