-- The main job with Unity Catalog functions, for a SQL warehouse: the table of embeddings, then BLIP's retrieval protocol
-- in plain SQL, for there is no extension that would do it under ORDER BY. unity_catalog.sql beside this file comes first.
USE main.blip;

-- Delta by default. The image's bytes are kept: these functions read no files, and a search reads 256 rows of them.
CREATE TABLE IF NOT EXISTS once_embeddings AS
SELECT *, try_blip_image_embed(image) AS embedding, blip_model() AS model
FROM once;

-- New images only: those whose key the table has not.
INSERT INTO once_embeddings BY NAME
SELECT *, try_blip_image_embed(image) AS embedding, blip_model() AS model
FROM once LEFT ANTI JOIN once_embeddings USING (sequence_id, frame_id, camera);

-- Variables are evaluated here, once: in the query below the sentence would be embedded for each row.
DECLARE OR REPLACE VARIABLE sentence STRING DEFAULT 'a truck in the rain';

DECLARE OR REPLACE VARIABLE sentence_embedding ARRAY<FLOAT>;

SET VAR sentence_embedding = (SELECT blip_text_embed(sentence));

-- The 256 rows nearest by stored embedding, ranked by match logit + ITC similarity (arXiv 2201.12086, section 4.1).
-- vector_inner_product is documented for Databricks Runtime 18.1 and above; without it:
-- aggregate(zip_with(embedding, sentence_embedding, (a, b) -> a * b), 0F, (total, each) -> total + each)
WITH nearest AS (
  SELECT *, vector_inner_product(embedding, sentence_embedding) AS itc
  FROM once_embeddings
  WHERE weather = 'rainy'
  ORDER BY itc DESC NULLS LAST LIMIT 256
)
SELECT sequence_id, frame_id, camera, weather, period, try_blip_itm_logit(image, sentence) + itc AS score
FROM nearest
ORDER BY score DESC NULLS LAST LIMIT 10;
