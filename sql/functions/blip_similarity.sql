-- How alike a drive's consecutive frames are: 1 for the same picture.
SELECT this.sequence_id, this.frame_id, round(blip_similarity(this.embedding, other.embedding), 2) AS alike
FROM once_embeddings this JOIN once_embeddings other
  ON this.sequence_id = other.sequence_id AND this.camera = other.camera AND this.frame_id < other.frame_id
WHERE this.camera = 'cam01'
ORDER BY sequence_id LIMIT 3;
--> +-----------+-------------+-----+
--> |sequence_id|frame_id     |alike|
--> +-----------+-------------+-----+
--> |000000     |1616000000000|0.99 |
--> |000001     |1616003600000|1.0  |
--> |000002     |1616007200000|1.0  |
--> +-----------+-------------+-----+

-- By a sentence, without ITM: BLIP's ITC ranking.
SELECT sequence_id, frame_id, weather, period,
       round(blip_similarity(embedding, blip_text_embed('a bus at night')), 2) AS similarity
FROM once_embeddings
WHERE camera = 'cam01'
ORDER BY similarity DESC, image LIMIT 3;
--> +-----------+-------------+-------+------+----------+
--> |sequence_id|frame_id     |weather|period|similarity|
--> +-----------+-------------+-------+------+----------+
--> |000005     |1616018000000|sunny  |night |0.49      |
--> |000005     |1616018000500|sunny  |night |0.48      |
--> |000004     |1616014400000|sunny  |night |0.23      |
--> +-----------+-------------+-------+------+----------+

SELECT blip_similarity(NULL, blip_text_embed('a bus')) AS similarity;
--> +----------+
--> |similarity|
--> +----------+
--> |NULL      |
--> +----------+

-- Vectors of two models do not compare.
SELECT blip_similarity(array(1F, 2F), array(1F, 2F, 3F));
--> [VECTOR_DIMENSION_MISMATCH] Vectors passed to `blip_similarity` must have the same dimension, but got 2 and 3.
