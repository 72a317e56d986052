-- The best frame of each sequence: neighbours show the same scene, and ten of them would fill the list.
-- Where nothing matches they are the best of what does not: WHERE score >= ... leaves those out, at the value that the
-- model's card recommends for --min-score.
SELECT sequence_id, frame_id, camera, weather, period, image, score
FROM blip_search('once_embeddings', 'a truck at night', k => 12, one_per => 'sequence_id')
ORDER BY score DESC;
