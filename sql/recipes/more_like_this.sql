-- Frames of other sequences that look like this one, by their stored embeddings: no model runs.
WITH this AS (
  SELECT sequence_id, embedding
  FROM once_embeddings
  WHERE sequence_id = '000000' AND frame_id = '1616000000000' AND camera = 'cam01'
)
SELECT other.sequence_id, other.frame_id, other.camera, other.weather, other.period, other.image,
       blip_similarity(other.embedding, this.embedding) AS score
FROM once_embeddings AS other JOIN this ON other.sequence_id <> this.sequence_id
ORDER BY score DESC LIMIT 12;
