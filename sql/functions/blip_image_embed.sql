-- One vector per image. Its length is 1, so that an inner product is a cosine similarity.
SELECT frame_id, camera, size(embedding) AS numbers, round(blip_similarity(embedding, embedding), 3) AS squared
FROM (SELECT *, blip_image_embed(image) AS embedding FROM once WHERE sequence_id = '000000')
ORDER BY frame_id, camera LIMIT 2;
--> +-------------+------+-------+-------+
--> |frame_id     |camera|numbers|squared|
--> +-------------+------+-------+-------+
--> |1616000000000|cam01 |64     |1.0    |
--> |1616000000000|cam03 |64     |1.0    |
--> +-------------+------+-------+-------+

-- Frames that look like one: the nearest of other sequences.
SELECT other.sequence_id, other.camera, other.weather, other.period, other.region,
       round(blip_similarity(this.embedding, other.embedding), 2) AS similarity
FROM once_embeddings AS this JOIN once_embeddings AS other ON this.sequence_id <> other.sequence_id
WHERE this.sequence_id = '000000' AND this.frame_id = '1616000000000' AND this.camera = 'cam01'
ORDER BY similarity DESC, other.image LIMIT 3;
--> +-----------+------+-------+------+-------+----------+
--> |sequence_id|camera|weather|period|region |similarity|
--> +-----------+------+-------+------+-------+----------+
--> |000006     |cam03 |rainy  |noon  |Highway|0.83      |
--> |000006     |cam03 |rainy  |noon  |Highway|0.82      |
--> |000006     |cam01 |rainy  |noon  |Highway|0.79      |
--> +-----------+------+-------+------+-------+----------+

SELECT blip_image_embed(NULL) AS embedding;
--> +---------+
--> |embedding|
--> +---------+
--> |NULL     |
--> +---------+

-- Bytes that are no image. try_blip_image_embed gives NULL.
SELECT blip_image_embed(CAST('404 Not Found' AS BINARY));
--> ImageError: expected JPEG, PNG, WebP, BMP, TIFF or GIF, got 13 bytes of another format, which begin with b'404 Not Found'
