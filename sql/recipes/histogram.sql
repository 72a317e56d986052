-- How the scores of a sentence are spread over all images, and what a threshold keeps. 0.60 is what the bundled
-- model's card recommends (blip_udfs/demo/model/README.md); another model has its own.
SET threshold = 0.60;

CACHE TABLE scores AS
SELECT try_blip_itm(image, 'a truck in the rain') AS score FROM once_embeddings;

SELECT bin / 20 AS from_score, (bin + 1) / 20 AS to_score, count(*) AS images,
       repeat('#', CAST(ceil(60 * count(*) / sum(count(*)) OVER ()) AS INT)) AS share
FROM (SELECT least(floor(score * 20), 19) AS bin FROM scores WHERE score IS NOT NULL)
GROUP BY bin ORDER BY bin;

SELECT count_if(score >= ${threshold}) AS kept, count_if(score < ${threshold}) AS dropped, count_if(score IS NULL) AS unread
FROM scores;
