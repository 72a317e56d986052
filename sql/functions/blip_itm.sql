-- The frames that match a sentence best.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 2) AS score
FROM (SELECT *, blip_itm(image, 'a truck in the rain') AS score FROM once ORDER BY score DESC LIMIT 3);

-- The same over stored embeddings, by BLIP's retrieval protocol: ITM scores the 8 rows nearest to the sentence only.
SET spark.blip.search.candidates = 8;

SELECT sequence_id, frame_id, camera, weather, period, round(score, 2) AS score
FROM (SELECT *, blip_itm(image, 'a truck in the rain') AS score FROM once_embeddings ORDER BY score DESC LIMIT 3);

-- An image named by its path, which the worker reads; a text per row; NULL.
SELECT text, round(blip_itm('/data/ONCE/data/000000/cam01/1616000000000.jpg', text), 2) AS score
FROM VALUES ('a sunny day'), ('a rainy day'), (NULL) AS t (text)
ORDER BY text;

-- A file that is not there. try_blip_itm gives NULL, blip_image_error the reason.
SELECT blip_itm('/data/ONCE/data/000000/cam01/none.jpg', 'a car');

SELECT blip_itm(image) FROM once;

SELECT blip_itm(42, 'a car');
