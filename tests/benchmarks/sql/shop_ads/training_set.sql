-- Features, encoded, with whether each ad was clicked on its day, as known four days after it. Of
-- training and validation days only what was settled before the evaluation begins.
CREATE VIEW labelled AS
WITH clicked AS (
  SELECT DISTINCT c.ds, c.impression_id FROM clicks AS c JOIN days AS d USING (ds)
  WHERE c.user_id IS NOT NULL AND c.known_at < d.ds + INTERVAL 4 DAY
    AND (c.until IS NULL OR c.until >= d.ds + INTERVAL 4 DAY)
)
SELECT d.split, f.*, CAST(c.impression_id IS NOT NULL AS FLOAT) AS click
FROM features AS f
JOIN days AS d USING (ds)
LEFT JOIN clicked AS c ON f.ds = c.ds AND f.impression_id = c.impression_id
WHERE d.split = 'eval' OR d.ds + 4 <= (SELECT min(ds) FROM days WHERE split = 'eval');

COPY (
  SELECT split, ds, click AS y_click,
    CASE WHEN split = 'eval' THEN device END AS s_device,
    CASE WHEN split = 'eval' THEN category END AS s_category,
    CASE WHEN split = 'eval' THEN new_user END AS s_new_user,
    CASE WHEN split = 'eval' THEN new_item END AS s_new_item,
    as_key(user_id) AS k_user_id, as_key(item_id) AS k_item_id, as_key(slot) AS k_slot,
    as_key(device) AS k_device, as_key(hour) AS k_hour, as_key(position) AS k_position,
    as_key(segment) AS k_segment, as_key(city) AS k_city, as_key(category) AS k_category,
    as_key(brand) AS k_brand, as_key(new_user) AS k_new_user,
    as_key(new_item) AS k_new_item, as_key(segment_category) AS k_segment_category,
    as_key(device_hour) AS k_device_hour,
    as_value(age) AS v_age,
    as_value(signed_log1p(price)) AS v_price,
    as_value(signed_log1p(item_clicks_count_7d)) AS v_item_clicks_count_7d,
    as_value(signed_log1p(item_clicks_count_28d)) AS v_item_clicks_count_28d,
    as_value(signed_log1p(item_shown_count_7d)) AS v_item_shown_count_7d,
    as_value(item_shown_mean_7d) AS v_item_shown_mean_7d,
    as_value(signed_log1p(item_shown_count_28d)) AS v_item_shown_count_28d,
    as_value(item_shown_mean_28d) AS v_item_shown_mean_28d,
    as_value(signed_log1p(user_clicks_count_28d)) AS v_user_clicks_count_28d,
    as_value(signed_log1p(user_clicks_days_since_last_28d)) AS v_user_clicks_days_since_last_28d,
    as_value(signed_log1p(user_shown_count_28d)) AS v_user_shown_count_28d
  FROM labelled ORDER BY hash(ds, impression_id)
) TO 'training_set' (FORMAT parquet, PARTITION_BY (split), OVERWRITE true);
