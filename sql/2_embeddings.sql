-- Every image of the ONCE tree at ${root}, embedded once and stored beside the model that made the embedding.
CREATE OR REPLACE TEMPORARY VIEW once AS SELECT * FROM read_once('${root}');

DROP TABLE IF EXISTS once_embeddings;

CREATE TABLE once_embeddings USING parquet PARTITIONED BY (sequence_id) AS
SELECT *, try_blip_image_embed(image) AS embedding, blip_model() AS model
FROM once;

SELECT model, count(*) AS images, count(embedding) AS embedded, size(first(embedding)) AS numbers
FROM once_embeddings
GROUP BY model;
