-- Saved searches: a table of sentences, all searched for in one scan, the best ten of each. In what is new of each night
-- they are searched for by a command, which keeps what it finds, each row once, in a table:
--   blip-udfs embed --source /data/ONCE --table once_embeddings &&
--     blip-udfs watch --queries saved_searches --table once_embeddings --into found --notify /opt/tell_the_team.sh
-- That asks for the rows of a night with a score of min_score or more (as seen in a search), at most the best k.
CREATE TABLE IF NOT EXISTS saved_searches USING parquet AS
SELECT * FROM VALUES
  ('wet trucks', 'a truck in the rain', 4.5D, NULL),
  ('cyclists', 'a cyclist', NULL, 5)
  AS (name, sentence, min_score, k);

SELECT query, rank, sequence_id, frame_id, camera, weather, period, image, score
FROM blip_search('once_embeddings', queries => 'saved_searches', k => 10, candidates => 64);
