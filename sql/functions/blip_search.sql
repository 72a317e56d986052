-- The best rows of a table with images and embeddings.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search('once_embeddings', 'a truck in the rain', k => 3);
--> +-----------+-------------+------+-------+-------+-----+
--> |sequence_id|frame_id     |camera|weather|period |score|
--> +-----------+-------------+------+-------+-------+-----+
--> |000000     |1616000000000|cam01 |rainy  |morning|4.0  |
--> |000000     |1616000000500|cam01 |rainy  |morning|4.0  |
--> |000006     |1616021600000|cam03 |rainy  |noon   |3.3  |
--> +-----------+-------------+------+-------+-------+-----+

-- Of a part of it, one frame per sequence; ITM scores the 8 rows nearest to the sentence.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search(TABLE(SELECT * FROM once_embeddings WHERE period <> 'night'), 'a truck in the rain',
                 k => 3, candidates => 8, one_per => 'sequence_id');
--> +-----------+-------------+------+-------+-------+-----+
--> |sequence_id|frame_id     |camera|weather|period |score|
--> +-----------+-------------+------+-------+-------+-----+
--> |000000     |1616000000000|cam01 |rainy  |morning|4.0  |
--> |000006     |1616021600000|cam03 |rainy  |noon   |3.3  |
--> |000002     |1616007200000|cam01 |cloudy |morning|-3.4 |
--> +-----------+-------------+------+-------+-------+-----+

-- Each of many saved sentences, in one scan of the table; an image is encoded once for all that it is a candidate of.
SELECT query, rank, sequence_id, frame_id, camera, round(score, 1) AS score
FROM blip_search('once_embeddings', k => 2, queries => TABLE(VALUES ('trucks', 'a truck in the rain'),
                                                                    ('nights', 'a car at night')));
--> +------+----+-----------+-------------+------+-----+
--> |query |rank|sequence_id|frame_id     |camera|score|
--> +------+----+-----------+-------------+------+-----+
--> |trucks|1   |000000     |1616000000000|cam01 |4.0  |
--> |trucks|2   |000000     |1616000000500|cam01 |4.0  |
--> |nights|1   |000004     |1616014400000|cam01 |3.9  |
--> |nights|2   |000004     |1616014400500|cam01 |3.9  |
--> +------+----+-----------+-------------+------+-----+

-- A table without embeddings: make them with blip_image_embed.
SELECT * FROM blip_search('once', 'a truck in the rain');
--> blip_search: table: expected a column embedding ARRAY<FLOAT>, got sequence_id STRING, frame_id STRING, camera STRING, image STRING, timestamp TIMESTAMP, weather STRING, period STRING, region STRING, split STRING, classes ARRAY<STRING>, counts MAP<STRING, INT>, problem STRING, modified TIMESTAMP, length BIGINT

SELECT * FROM blip_search('once_embeddings', NULL);
--> blip_search: query: expected a sentence, got NULL

SELECT * FROM blip_search('once_embeddings', 'a truck in the rain', k => 0);
--> blip_search: k: expected a whole number, 1 or more, got 0

SELECT * FROM blip_search('once_embeddings', 'a truck in the rain', one_per => 'town');
--> blip_search: one_per: expected a column of the table, got 'town'
