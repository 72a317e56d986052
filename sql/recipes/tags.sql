-- Tags without training: of several sentences the one that matches best, beside what ONCE's own metadata says.
CREATE OR REPLACE TEMPORARY FUNCTION best(labels ARRAY<STRING>, matches ARRAY<DOUBLE>)
RETURNS STRING RETURN labels[array_position(matches, array_max(matches)) - 1];

CACHE TABLE once_tags AS
SELECT sequence_id, frame_id, camera, weather, period, region,
       best(array('sunny', 'cloudy', 'rainy'), slice(matches, 1, 3)) AS weather_tag,
       best(array('morning', 'noon', 'afternoon', 'night'), slice(matches, 4, 4)) AS period_tag,
       best(array('intersection', 'highway', 'city street', 'suburban road', 'tunnel', 'bridge'),
            slice(matches, 8, 6)) AS road_tag
FROM (
  SELECT *, try_blip_itm_many(image, array(
    'under a clear sky', 'under a cloudy sky', 'in the rain',
    'in the morning', 'at noon', 'in the afternoon', 'at night',
    'an intersection', 'a highway', 'a city street', 'a suburban road', 'a tunnel', 'a bridge'
  )) AS matches
  FROM once_embeddings
);

-- Confusion tables: a row for what the metadata says, a column for each tag. In a tunnel no camera sees the sky.
SELECT weather, count_if(weather_tag = 'sunny') AS sunny, count_if(weather_tag = 'cloudy') AS cloudy,
       count_if(weather_tag = 'rainy') AS rainy
FROM once_tags WHERE region IS DISTINCT FROM 'Tunnel' GROUP BY weather ORDER BY weather;

SELECT period, count_if(period_tag = 'morning') AS morning, count_if(period_tag = 'noon') AS noon,
       count_if(period_tag = 'afternoon') AS afternoon, count_if(period_tag = 'night') AS night
FROM once_tags WHERE region IS DISTINCT FROM 'Tunnel' GROUP BY period ORDER BY period;

SELECT region, road_tag, count(*) AS images
FROM once_tags GROUP BY region, road_tag ORDER BY region, images DESC;
