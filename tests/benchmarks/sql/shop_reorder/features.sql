-- Every pair of a user who ordered lately and one of the most ordered items. `days` holds the days
-- to score.
CREATE TABLE features AS
WITH
-- A day counts as the last one only if corrections leave an order of it.
user_by_day AS (
  SELECT d.ds, t.user_id, t.ds AS told, sum(n) AS n
  FROM user_orders AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 56 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
user_windows AS (
  SELECT ds, user_id, sum(n) AS n_56d, coalesce(sum(n) FILTER (told >= ds - 28), 0) AS n_28d,
    max(told) FILTER (n > 0 AND told >= ds - 28) AS last
  FROM user_by_day GROUP BY ALL
),
item_windows AS (
  SELECT d.ds, t.item_id, sum(n) AS n_28d
  FROM item_orders AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 28 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
-- As of the cut-off: what happened and was known before it, and is not too old.
known_users AS (
  SELECT d.ds, u.user_id,
    arg_max(struct_pack(segment, city, age, signup_day), (u.event_time, u.known_at)) AS told
  FROM users AS u JOIN days AS d ON u.known_at < d.ds AND u.event_time < d.ds
    AND u.event_time >= d.ds - INTERVAL 696 HOUR
  GROUP BY ALL
),
known_items AS (
  SELECT d.ds, i.item_id,
    arg_max(struct_pack(category, brand, price, launched_day), (i.event_time, i.known_at)) AS told
  FROM items AS i JOIN days AS d ON i.known_at < d.ds AND i.event_time < d.ds
    AND i.event_time >= d.ds - INTERVAL 360 HOUR
  GROUP BY ALL
),
-- What a user ordered last, as it stands at the cut-off, the newest last.
last_orders AS (
  SELECT ds, user_id, list(item_id ORDER BY ordered_at, item_id) AS ordered,
    list(CAST(ds - told AS INTEGER) ORDER BY ordered_at, item_id) AS ordered_days
  FROM (
    SELECT d.ds, o.user_id, o.item_id, o.ds AS told, o.ordered_at
    FROM orders AS o JOIN days AS d
      ON o.ds BETWEEN d.ds - 56 AND d.ds - 1 AND o.known_at < d.ds
      AND (o.until IS NULL OR o.until >= d.ds)
    WHERE o.channel = 'direct'
    QUALIFY row_number() OVER (
      PARTITION BY d.ds, o.user_id ORDER BY o.ordered_at DESC, o.item_id DESC
    ) <= 10
  )
  GROUP BY ALL
),
active AS (
  SELECT w.*, k.told AS u, coalesce(l.ordered, []) AS ordered,
    coalesce(l.ordered_days, []) AS ordered_days
  FROM user_windows AS w
  LEFT JOIN known_users AS k ON w.ds = k.ds AND w.user_id = k.user_id
  LEFT JOIN last_orders AS l ON w.ds = l.ds AND w.user_id = l.user_id
  WHERE w.n_56d >= 1
),
most_ordered AS (
  SELECT w.*, k.told AS i FROM item_windows AS w
  LEFT JOIN known_items AS k ON w.ds = k.ds AND w.item_id = k.item_id
  WHERE w.n_28d > 0
  QUALIFY row_number() OVER (PARTITION BY w.ds ORDER BY w.n_28d DESC, w.item_id) <= 40
),
pair_by_day AS (
  SELECT d.ds, t.user_id, t.item_id, t.ds AS told, sum(n) AS n, sum(total) AS total
  FROM pair_orders AS t JOIN days AS d
    ON t.ds BETWEEN d.ds - 84 AND d.ds - 1 AND t.usable_from <= d.ds
  GROUP BY ALL
),
pair_windows AS (
  SELECT ds, user_id, item_id, sum(n) AS n_84d, sum(total) AS total_84d,
    sum(n) FILTER (told >= ds - 28) AS n_28d, sum(total) FILTER (told >= ds - 28) AS total_28d,
    max(told) FILTER (n > 0) AS last
  FROM pair_by_day GROUP BY ALL
)
SELECT a.ds, a.user_id, m.item_id, a.u.segment AS segment, a.u.city AS city,
  m.i.category AS category, m.i.brand AS brand,
  CAST(coalesce(a.ds - m.i.launched_day <= 28, true) AS VARCHAR) AS new_item,
  concat(coalesce(a.u.segment, ''), chr(31), coalesce(m.i.category, '')) AS segment_category,
  CAST(a.u.age AS DOUBLE) AS age, m.i.price AS price,
  CAST(coalesce(p.n_28d, 0) AS DOUBLE) AS pair_count_28d,
  CAST(p.total_28d AS DOUBLE) / nullif(p.n_28d, 0) AS pair_mean_28d,
  CAST(CASE WHEN p.last >= a.ds - 28 THEN a.ds - p.last END AS DOUBLE)
    AS pair_days_since_last_28d,
  CAST(coalesce(p.n_84d, 0) AS DOUBLE) AS pair_count_84d,
  CAST(p.total_84d AS DOUBLE) / nullif(p.n_84d, 0) AS pair_mean_84d,
  CAST(a.ds - p.last AS DOUBLE) AS pair_days_since_last_84d,
  CAST(a.n_28d AS DOUBLE) AS user_count_28d,
  CAST(a.ds - a.last AS DOUBLE) AS user_days_since_last_28d,
  CAST(m.n_28d AS DOUBLE) AS item_count_28d, a.ordered, a.ordered_days
FROM active AS a JOIN most_ordered AS m ON a.ds = m.ds
LEFT JOIN pair_windows AS p
  ON p.ds = a.ds AND p.user_id = a.user_id AND p.item_id = m.item_id;
