-- The rows of a relation by BLIP's retrieval protocol (arXiv 2201.12086, section 4.1): those nearest to the text by
-- stored embedding, scored by match logit + ITC similarity. Rows without an embedding come behind the others.
WITH nearest AS (
  SELECT *, coalesce(vector_inner_product({embedding}, blip_text_embed(:query)), -1.0F) AS blip_itc
  FROM {table}
  {nearest}
)
SELECT /*+ REPARTITION({cores}) */ * EXCEPT (blip_itc),
       CAST(try_blip_itm_logit({image}, :query) + blip_itc AS DOUBLE) AS score
FROM nearest
