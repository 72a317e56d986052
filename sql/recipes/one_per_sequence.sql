-- The best frame of each sequence: neighbours show the same scene, and ten of them would fill the list.
SELECT sequence_id, frame_id, camera, weather, period, image, score
FROM blip_search('once_embeddings', 'a truck at night', k => 12, one_per => 'sequence_id')
ORDER BY score DESC;
