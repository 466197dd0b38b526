-- Features, encoded, with whether the user ordered the item within seven days, as known three days
-- later. Of training and validation days only what was settled before the evaluation begins.
CREATE VIEW labelled AS
WITH reordered AS (
  SELECT DISTINCT d.ds, o.user_id, o.item_id FROM orders AS o JOIN days AS d
    ON o.ds BETWEEN d.ds AND d.ds + 6 AND o.known_at < d.ds + INTERVAL 10 DAY
    AND (o.until IS NULL OR o.until >= d.ds + INTERVAL 10 DAY)
  WHERE o.channel = 'direct'
)
SELECT d.split, f.*, CAST(r.user_id IS NOT NULL AS FLOAT) AS reordered
FROM features AS f
JOIN days AS d USING (ds)
LEFT JOIN reordered AS r ON f.ds = r.ds AND f.user_id = r.user_id AND f.item_id = r.item_id
WHERE d.split = 'eval' OR d.ds + 10 <= (SELECT min(ds) FROM days WHERE split = 'eval');

COPY (
  SELECT split, ds, reordered AS y_reordered,
    CASE WHEN split = 'eval' THEN segment END AS s_segment,
    CASE WHEN split = 'eval' THEN new_item END AS s_new_item,
    as_key(user_id) AS k_user_id, as_key(item_id) AS k_item_id, as_key(segment) AS k_segment,
    as_key(city) AS k_city, as_key(category) AS k_category, as_key(brand) AS k_brand,
    as_key(new_item) AS k_new_item,
    as_key(segment_category) AS k_segment_category,
    as_key(ordered[1]) AS k_ordered_0, as_key(ordered[2]) AS k_ordered_1,
    as_key(ordered[3]) AS k_ordered_2, as_key(ordered[4]) AS k_ordered_3,
    as_key(ordered[5]) AS k_ordered_4, as_key(ordered[6]) AS k_ordered_5,
    as_key(ordered[7]) AS k_ordered_6, as_key(ordered[8]) AS k_ordered_7,
    as_key(ordered[9]) AS k_ordered_8, as_key(ordered[10]) AS k_ordered_9,
    as_value(age) AS v_age,
    as_value(signed_log1p(price)) AS v_price,
    as_value(signed_log1p(pair_count_28d)) AS v_pair_count_28d,
    as_value(pair_mean_28d) AS v_pair_mean_28d,
    as_value(signed_log1p(pair_days_since_last_28d)) AS v_pair_days_since_last_28d,
    as_value(signed_log1p(pair_count_84d)) AS v_pair_count_84d,
    as_value(pair_mean_84d) AS v_pair_mean_84d,
    as_value(signed_log1p(pair_days_since_last_84d)) AS v_pair_days_since_last_84d,
    as_value(signed_log1p(user_count_28d)) AS v_user_count_28d,
    as_value(signed_log1p(user_days_since_last_28d)) AS v_user_days_since_last_28d,
    as_value(signed_log1p(item_count_28d)) AS v_item_count_28d,
    as_value(ordered_days[1]) AS v_ordered_0, as_value(ordered_days[2]) AS v_ordered_1,
    as_value(ordered_days[3]) AS v_ordered_2, as_value(ordered_days[4]) AS v_ordered_3,
    as_value(ordered_days[5]) AS v_ordered_4, as_value(ordered_days[6]) AS v_ordered_5,
    as_value(ordered_days[7]) AS v_ordered_6, as_value(ordered_days[8]) AS v_ordered_7,
    as_value(ordered_days[9]) AS v_ordered_8, as_value(ordered_days[10]) AS v_ordered_9
  FROM labelled ORDER BY hash(ds, user_id, item_id)
) TO 'training_set' (FORMAT parquet, PARTITION_BY (split), OVERWRITE true);
