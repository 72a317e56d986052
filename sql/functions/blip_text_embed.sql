-- The frames nearest to a sentence, without ITM. The sentence is embedded once, not once per row.
SELECT sequence_id, frame_id, camera, weather, period,
       round(blip_similarity(embedding, blip_text_embed('a truck in the rain')), 2) AS similarity
FROM once_embeddings
ORDER BY similarity DESC, image LIMIT 3;
--> +-----------+-------------+------+-------+-------+----------+
--> |sequence_id|frame_id     |camera|weather|period |similarity|
--> +-----------+-------------+------+-------+-------+----------+
--> |000000     |1616000000000|cam01 |rainy  |morning|0.47      |
--> |000000     |1616000000500|cam01 |rainy  |morning|0.45      |
--> |000006     |1616021600500|cam03 |rainy  |noon   |0.44      |
--> +-----------+-------------+------+-------+-------+----------+

-- Sentences that mean the same are near to each other.
SELECT text, round(blip_similarity(blip_text_embed('a truck in the rain'), blip_text_embed(text)), 2) AS similarity
FROM VALUES ('a truck in the rain'), ('a rainy day with a truck'), ('a pedestrian at night'), (NULL) AS t (text)
ORDER BY similarity DESC, text;
--> +------------------------+----------+
--> |text                    |similarity|
--> +------------------------+----------+
--> |a rainy day with a truck|1.0       |
--> |a truck in the rain     |1.0       |
--> |a pedestrian at night   |0.4       |
--> |NULL                    |NULL      |
--> +------------------------+----------+

-- A book is no sentence: what exceeds 35 tokens is cut, what exceeds 100,000 characters refused.
SELECT blip_text_embed(repeat('car ', 50000));
--> ValueError: text of 200,000 characters, which begins 'car car car car car car car car car car ': expected at most 100,000; BLIP reads its first 35 tokens

SELECT blip_text_embed(42);
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_text_embed(text)" due to data type mismatch: The first parameter requires the ("STRING") type, however "42" has the type "INT".
