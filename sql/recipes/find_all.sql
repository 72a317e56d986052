-- All rows that match a sentence, or nearly all, for a training set: with a probability of 0.95 at least nine of ten of
-- those that scoring every row would give, and no other. Two samples prove below which similarity no row need be scored;
-- a warning in the log says how many rows are. Embeddings are read for the counts, both samples and the result, images of
-- the rows that are scored alone. A promise takes about a hundred matches in the samples: of a small table every row is
-- scored, as without the setting.
SET spark.blip.filter.recall = 0.9;
SET threshold = 0.60;

CREATE TABLE wet_trucks USING parquet AS
SELECT sequence_id, frame_id, camera, weather, period, image, blip_itm(image, 'a truck in the rain') AS score
FROM once_embeddings
WHERE blip_itm(image, 'a truck in the rain') > ${threshold};

-- How many of each drive by one camera: other conditions come first.
SELECT sequence_id, count(*) AS frames
FROM once_embeddings
WHERE camera = 'cam01' AND blip_itm(image, 'a truck in the rain') > ${threshold}
GROUP BY sequence_id
ORDER BY frames DESC, sequence_id;

RESET spark.blip.filter.recall;
