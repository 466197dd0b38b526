-- One row per ad that was planned before the cut-off of its day. `days` holds the days to score.
CREATE TABLE features AS
WITH scored AS (
  SELECT i.* FROM impressions AS i JOIN days USING (ds)
  WHERE i.planned_at < i.ds AND (i.until IS NULL OR i.until >= i.ds)
),
item_click_windows AS (
  SELECT d.ds, t.item_id, sum(n) FILTER (t.ds >= d.ds - 7) AS n_7d, sum(n) AS n_28d
  FROM item_clicks AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 28 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
item_shown_windows AS (
  SELECT d.ds, t.item_id, sum(n) FILTER (t.ds >= d.ds - 7) AS n_7d, sum(n) AS n_28d,
    sum(total) FILTER (t.ds >= d.ds - 7) AS total_7d, sum(total) AS total_28d
  FROM item_shown AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 28 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
user_shown_windows AS (
  SELECT d.ds, t.user_id, sum(n) AS n_28d
  FROM user_shown AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 28 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
-- A day counts as the last one only if corrections leave a click of it.
user_clicks_by_day AS (
  SELECT d.ds, t.user_id, t.ds AS told, sum(n) AS n
  FROM user_clicks AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 28 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
user_click_windows AS (
  SELECT ds, user_id, sum(n) AS n_28d, max(told) FILTER (n > 0) AS last
  FROM user_clicks_by_day GROUP BY ALL
),
-- Of each time of a user or an item what was known last, of what was known before the cut-off.
-- Ads are planned the evening before, so that what is older than its greatest age is no use.
known_users AS (
  SELECT d.ds, u.user_id, u.event_time,
    arg_max(struct_pack(segment, city, age, signup_day), u.known_at) AS told
  FROM users AS u JOIN days AS d ON u.known_at < d.ds
    AND u.ds BETWEEN d.ds - 31 AND d.ds
  GROUP BY ALL
),
known_items AS (
  SELECT d.ds, i.item_id, i.event_time,
    arg_max(struct_pack(category, brand, price, launched_day), i.known_at) AS told
  FROM items AS i JOIN days AS d ON i.known_at < d.ds
    AND i.ds BETWEEN d.ds - 17 AND d.ds
  GROUP BY ALL
),
looked_up AS (
  SELECT s.*,
    CASE WHEN u.event_time > s.planned_at - INTERVAL 696 HOUR THEN u.told END AS u,
    CASE WHEN i.event_time > s.planned_at - INTERVAL 360 HOUR THEN i.told END AS i
  FROM scored AS s
  ASOF LEFT JOIN known_users AS u
    ON s.ds = u.ds AND s.user_id = u.user_id AND s.planned_at >= u.event_time
  ASOF LEFT JOIN known_items AS i
    ON s.ds = i.ds AND s.item_id = i.item_id AND s.planned_at >= i.event_time
)
SELECT s.ds, s.impression_id, s.user_id, s.item_id, s.slot, s.device,
  CAST(s.hour AS VARCHAR) AS hour, CAST(s.position AS VARCHAR) AS position,
  u.segment, u.city, i.category, i.brand,
  CAST(coalesce(s.ds - u.signup_day <= 7, true) AS VARCHAR) AS new_user,
  CAST(coalesce(s.ds - i.launched_day <= 7, true) AS VARCHAR) AS new_item,
  concat(coalesce(u.segment, ''), chr(31), coalesce(i.category, '')) AS segment_category,
  concat(s.device, chr(31), s.hour) AS device_hour,
  CAST(u.age AS DOUBLE) AS age, i.price,
  CAST(coalesce(ic.n_7d, 0) AS DOUBLE) AS item_clicks_count_7d,
  CAST(coalesce(ic.n_28d, 0) AS DOUBLE) AS item_clicks_count_28d,
  CAST(coalesce(sh.n_7d, 0) AS DOUBLE) AS item_shown_count_7d,
  CAST(sh.total_7d AS DOUBLE) / nullif(sh.n_7d, 0) AS item_shown_mean_7d,
  CAST(coalesce(sh.n_28d, 0) AS DOUBLE) AS item_shown_count_28d,
  CAST(sh.total_28d AS DOUBLE) / nullif(sh.n_28d, 0) AS item_shown_mean_28d,
  CAST(coalesce(uc.n_28d, 0) AS DOUBLE) AS user_clicks_count_28d,
  CAST(s.ds - uc.last AS DOUBLE) AS user_clicks_days_since_last_28d,
  CAST(coalesce(us.n_28d, 0) AS DOUBLE) AS user_shown_count_28d
FROM looked_up AS s
LEFT JOIN item_click_windows AS ic ON s.ds = ic.ds AND s.item_id = ic.item_id
LEFT JOIN item_shown_windows AS sh ON s.ds = sh.ds AND s.item_id = sh.item_id
LEFT JOIN user_click_windows AS uc ON s.ds = uc.ds AND s.user_id = uc.user_id
LEFT JOIN user_shown_windows AS us ON s.ds = us.ds AND s.user_id = us.user_id;
