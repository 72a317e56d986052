-- The frames that match a sentence best.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 2) AS score
FROM (SELECT *, blip_itm(image, 'a truck in the rain') AS score FROM once ORDER BY score DESC LIMIT 5);
--> +-----------+-------------+------+-------+-------+-----+
--> |sequence_id|frame_id     |camera|weather|period |score|
--> +-----------+-------------+------+-------+-------+-----+
--> |000000     |1616000000500|cam01 |rainy  |morning|1.0  |
--> |000000     |1616000000000|cam01 |rainy  |morning|1.0  |
--> |000006     |1616021600000|cam03 |rainy  |noon   |1.0  |
--> |000006     |1616021600500|cam03 |rainy  |noon   |1.0  |
--> |000006     |1616021600000|cam01 |rainy  |noon   |0.24 |
--> +-----------+-------------+------+-------+-------+-----+

-- The same over stored embeddings, by BLIP's retrieval protocol: ITM scores the 8 rows nearest to the sentence only.
SET spark.blip.search.candidates = 8;

SELECT sequence_id, frame_id, camera, weather, period, round(score, 2) AS score
FROM (SELECT *, blip_itm(image, 'a truck in the rain') AS score FROM once_embeddings ORDER BY score DESC LIMIT 5);
--> +-----------+-------------+------+-------+-------+-----+
--> |sequence_id|frame_id     |camera|weather|period |score|
--> +-----------+-------------+------+-------+-------+-----+
--> |000000     |1616000000500|cam01 |rainy  |morning|1.0  |
--> |000000     |1616000000000|cam01 |rainy  |morning|1.0  |
--> |000006     |1616021600000|cam03 |rainy  |noon   |1.0  |
--> |000006     |1616021600500|cam03 |rainy  |noon   |1.0  |
--> |000006     |1616021600000|cam01 |rainy  |noon   |0.24 |
--> +-----------+-------------+------+-------+-------+-----+

-- The best of each group by the same protocol: of each sequence's rows at most 8 are scored; one without candidates, all
-- of whose images failed or are another model's, is left out.
SELECT sequence_id, max_by(frame_id, score) AS frame_id, round(max(score), 2) AS score
FROM (SELECT *, blip_itm(image, 'a truck in the rain') AS score FROM once_embeddings)
GROUP BY sequence_id
ORDER BY score DESC, sequence_id LIMIT 3;
--> +-----------+-------------+-----+
--> |sequence_id|frame_id     |score|
--> +-----------+-------------+-----+
--> |000000     |1616000000500|1.0  |
--> |000006     |1616021600000|1.0  |
--> |000001     |1616003600000|0.0  |
--> +-----------+-------------+-----+

-- An image named by its path, which the worker reads; a text per row; NULL.
SELECT text, round(blip_itm('/data/ONCE/data/000000/cam01/1616000000000.jpg', text), 2) AS score
FROM VALUES ('a sunny day'), ('a rainy day'), (NULL) AS t (text)
ORDER BY text;
--> +-----------+-----+
--> |text       |score|
--> +-----------+-----+
--> |NULL       |NULL |
--> |a rainy day|1.0  |
--> |a sunny day|0.0  |
--> +-----------+-----+

-- A file that is not there. try_blip_itm gives NULL, blip_image_error the reason.
SELECT blip_itm('/data/ONCE/data/000000/cam01/none.jpg', 'a car');
--> ImageError: /data/ONCE/data/000000/cam01/none.jpg: no such file

SELECT blip_itm(image) FROM once;
--> [WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `blip_itm` requires 2 parameters but the actual number is 1. Please, refer to 'https://spark.apache.org/docs/latest/sql-ref-functions.html' for a fix.

SELECT blip_itm(42, 'a car');
--> [DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve "blip_itm(image, text)" due to data type mismatch: The first parameter requires the ("BINARY" or "STRING") type, however "42" has the type "INT".
