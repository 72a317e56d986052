-- One vector per image. Its length is 1, so that an inner product is a cosine similarity.
SELECT frame_id, camera, size(embedding) AS numbers, round(vector_inner_product(embedding, embedding), 3) AS squared
FROM (SELECT *, blip_image_embed(image) AS embedding FROM once WHERE sequence_id = '000000')
ORDER BY frame_id, camera;

-- Frames that look like one: the nearest of other sequences.
SELECT other.sequence_id, other.camera, other.weather, other.period, other.region,
       round(vector_inner_product(this.embedding, other.embedding), 2) AS similarity
FROM once_embeddings AS this JOIN once_embeddings AS other ON this.sequence_id <> other.sequence_id
WHERE this.sequence_id = '000000' AND this.frame_id = '1616000000000' AND this.camera = 'cam01'
ORDER BY similarity DESC, other.image LIMIT 3;

SELECT blip_image_embed(NULL) AS embedding;

-- Bytes that are no image. try_blip_image_embed gives NULL.
SELECT blip_image_embed(CAST('404 Not Found' AS BINARY));
