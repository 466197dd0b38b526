-- Daily sums by key, apart for each day from which they may be used, of what nobody advertised.
-- What was corrected counts until its correction is known: then a tile takes it off again.
CREATE VIEW order_changes AS
SELECT ds, user_id, item_id, quantity, usable_from(known_at) AS usable_from, 1 AS sign
FROM orders WHERE channel = 'direct'
UNION ALL
SELECT ds, user_id, item_id, quantity, usable_from(until), -1
FROM orders WHERE channel = 'direct' AND until IS NOT NULL;

CREATE TABLE pair_orders AS
SELECT ds, user_id, item_id, usable_from, sum(sign) AS n, sum(sign * quantity) AS total
FROM order_changes GROUP BY ALL HAVING n <> 0 OR total <> 0;

CREATE TABLE user_orders AS
SELECT ds, user_id, usable_from, sum(n) AS n FROM pair_orders GROUP BY ALL HAVING sum(n) <> 0;

CREATE TABLE item_orders AS
SELECT ds, item_id, usable_from, sum(n) AS n FROM pair_orders GROUP BY ALL HAVING sum(n) <> 0;
