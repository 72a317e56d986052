-- Encoded once and stored: 32 bytes say what they are, two bytes for each number follow.
CREATE TABLE once_features AS
SELECT frame_id, camera, image, blip_image_features(image) AS features FROM once WHERE sequence_id = '000000';

SELECT frame_id, camera, length(features) AS bytes, CAST(substring(features, 1, 8) AS STRING) AS magic
FROM once_features ORDER BY frame_id, camera;

-- In place of the image, in any of the functions: the vision encoder, most of the work, is skipped.
SELECT frame_id, camera, abs(blip_itm(features, 'a sunny day') - blip_itm(image, 'a sunny day')) < 0.01 AS same
FROM once_features ORDER BY frame_id, camera;

-- Stored features are checked as images are. try_blip_image_features gives NULL, blip_image_error the reason.
SELECT blip_itm(substring(features, 1, 1000), 'a sunny day') FROM once_features LIMIT 1;

SELECT blip_image_features(NULL) AS features;

SELECT blip_image_features(CAST('404 Not Found' AS BINARY));
