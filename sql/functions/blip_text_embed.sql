-- The frames nearest to a sentence, without ITM. The sentence is embedded once, not once per row.
SELECT sequence_id, frame_id, camera, weather, period,
       round(vector_inner_product(embedding, blip_text_embed('a truck in the rain')), 2) AS similarity
FROM once_embeddings
ORDER BY similarity DESC, image LIMIT 3;

-- Sentences that mean the same are near to each other.
SELECT text, round(vector_inner_product(blip_text_embed('a truck in the rain'), blip_text_embed(text)), 2) AS similarity
FROM VALUES ('a truck in the rain'), ('a rainy day with a truck'), ('a pedestrian at night'), (NULL) AS t (text)
ORDER BY similarity DESC;

-- A book is no sentence: what exceeds 35 tokens is cut, what exceeds 100,000 characters refused.
SELECT blip_text_embed(repeat('car ', 50000));

SELECT blip_text_embed(42);
