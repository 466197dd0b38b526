-- Delivered rows, judged: good ones become events, with the time until which each version of a row
-- held (null: it holds now); bad and superseded ones are kept with the reason.
CREATE VIEW judged_orders AS
WITH typed AS (
  SELECT ds, nfc(order_id) AS order_id, nfc(user_id) AS user_id, nfc(item_id) AS item_id,
    nfc(channel) AS channel, quantity, price, nfc(status) AS status,
    CAST(ordered_at AS TIMESTAMP) AS ordered_at, CAST(known_at AS TIMESTAMP) AS known_at
  FROM delivered('orders')
)
SELECT *, CASE
  WHEN order_id IS NULL THEN 'null(order_id)'
  WHEN user_id IS NULL THEN 'null(user_id)'
  WHEN item_id IS NULL THEN 'null(item_id)'
  WHEN channel IS NULL THEN 'null(channel)'
  WHEN quantity IS NULL THEN 'null(quantity)'
  WHEN quantity < 1 THEN 'range(quantity)'
  WHEN price IS NULL THEN 'null(price)'
  WHEN bad_number(price) THEN 'not_finite(price)'
  WHEN price < 0 THEN 'range(price)'
  WHEN status IS NULL THEN 'null(status)'
  WHEN bad_time(ordered_at) THEN 'type(ordered_at)'
  WHEN ordered_at IS NULL THEN 'null(ordered_at)'
  WHEN bad_time(known_at) THEN 'type(known_at)'
  WHEN known_at IS NULL THEN 'null(known_at)'
  WHEN CAST(ordered_at AS DATE) <> ds THEN 'event_day(ordered_at)'
  WHEN bad_known(known_at, ds) THEN 'known_at(known_at)'
END AS reason
FROM typed;

-- Some orders are told again: their versions are put in order.
CREATE TABLE orders AS
SELECT * EXCLUDE (reason), CAST(NULL AS TIMESTAMP) AS until FROM judged_orders WHERE reason IS NULL;

CREATE TEMP TABLE orders_told_again AS
SELECT ds, order_id FROM orders GROUP BY ALL HAVING count(*) > 1;

CREATE TEMP TABLE orders_in_order AS
SELECT *, lead(known_at) OVER (PARTITION BY ds, order_id ORDER BY known_at) AS until
FROM (
  SELECT DISTINCT * EXCLUDE (until) FROM orders SEMI JOIN orders_told_again USING (ds, order_id)
);

DELETE FROM orders USING orders_told_again AS again
WHERE orders.ds = again.ds AND orders.order_id = again.order_id;

INSERT INTO orders SELECT * FROM orders_in_order;

CREATE TABLE quarantine AS
SELECT 'orders' AS stream, ds, reason, to_json(judged_orders) AS row
FROM judged_orders WHERE reason IS NOT NULL
UNION ALL
SELECT 'orders', ds, 'superseded', to_json(orders) FROM orders WHERE until IS NOT NULL;

-- Side tables: a single bad row stops the work. No day reads what was told more than a month ago.
CREATE TABLE users AS
SELECT ds, nfc(user_id) AS user_id, CAST(event_time AS TIMESTAMP) AS event_time,
  CAST(known_at AS TIMESTAMP) AS known_at, nfc(segment) AS segment, nfc(city) AS city, age, signup_day
FROM delivered('users')
WHERE ds BETWEEN getvariable('first_scored') - 31 AND getvariable('last_scored');

CREATE TABLE items AS
SELECT ds, nfc(item_id) AS item_id, CAST(event_time AS TIMESTAMP) AS event_time,
  CAST(known_at AS TIMESTAMP) AS known_at, nfc(category) AS category, nfc(brand) AS brand, price, launched_day
FROM delivered('items')
WHERE ds BETWEEN getvariable('first_scored') - 17 AND getvariable('last_scored');

SELECT CASE WHEN count(*) > 0 THEN error('users: ' || count(*) || ' bad rows') END FROM users
WHERE user_id IS NULL OR event_time IS NULL OR known_at IS NULL OR bad_time(event_time)
  OR bad_time(known_at) OR bad_known(known_at, ds);

SELECT CASE WHEN count(*) > 0 THEN error('items: ' || count(*) || ' bad rows') END FROM items
WHERE item_id IS NULL OR event_time IS NULL OR known_at IS NULL OR bad_time(event_time)
  OR bad_time(known_at) OR bad_known(known_at, ds) OR bad_number(price);
