-- The best rows of a table with images and embeddings.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search('once_embeddings', 'a truck in the rain', k => 3);

-- Of a part of it, one frame per sequence; ITM scores the 8 rows nearest to the sentence.
SELECT sequence_id, frame_id, camera, weather, period, round(score, 1) AS score
FROM blip_search(TABLE(SELECT * FROM once_embeddings WHERE period <> 'night'), 'a truck in the rain',
                 k => 3, candidates => 8, one_per => 'sequence_id');

-- A table without embeddings: make them with blip_image_embed.
SELECT * FROM blip_search('once', 'a truck in the rain');

SELECT * FROM blip_search('once_embeddings', NULL);

SELECT * FROM blip_search('once_embeddings', 'a truck in the rain', k => 0);

SELECT * FROM blip_search('once_embeddings', 'a truck in the rain', one_per => 'town');
