-- Delivered rows, judged: good ones become events, with the time until which each version of a row
-- held (null: it holds now); bad and superseded ones are kept with the reason.
CREATE VIEW judged_impressions AS
WITH typed AS (
  SELECT ds, impression_id, nfc(user_id) AS user_id, nfc(item_id) AS item_id, nfc(slot) AS slot,
    nfc(device) AS device, hour, position, CAST(planned_at AS TIMESTAMP) AS planned_at,
    CAST(shown_at AS TIMESTAMP) AS shown_at
  FROM delivered('impressions')
)
SELECT *, CASE
  WHEN impression_id IS NULL THEN 'null(impression_id)'
  WHEN impression_id < 0 THEN 'range(impression_id)'
  WHEN user_id IS NULL THEN 'null(user_id)'
  WHEN item_id IS NULL THEN 'null(item_id)'
  WHEN slot IS NULL THEN 'null(slot)'
  WHEN device IS NULL THEN 'null(device)'
  WHEN hour IS NULL THEN 'null(hour)'
  WHEN hour NOT BETWEEN 0 AND 23 THEN 'range(hour)'
  WHEN position IS NULL THEN 'null(position)'
  WHEN position NOT BETWEEN 1 AND 10 THEN 'range(position)'
  WHEN bad_time(planned_at) THEN 'type(planned_at)'
  WHEN planned_at IS NULL THEN 'null(planned_at)'
  WHEN bad_time(shown_at) THEN 'type(shown_at)'
  WHEN shown_at IS NULL THEN 'null(shown_at)'
  WHEN CAST(shown_at AS DATE) <> ds THEN 'event_day(shown_at)'
  WHEN bad_known(planned_at, ds) THEN 'known_at(planned_at)'
END AS reason
FROM typed;

CREATE VIEW judged_clicks AS
WITH typed AS (
  SELECT ds, impression_id, nfc(user_id) AS user_id, nfc(item_id) AS item_id,
    CAST(clicked_at AS TIMESTAMP) AS clicked_at, CAST(known_at AS TIMESTAMP) AS known_at
  FROM delivered('clicks')
)
SELECT *, CASE
  WHEN impression_id IS NULL THEN 'null(impression_id)'
  WHEN impression_id < 0 THEN 'range(impression_id)'
  WHEN user_id IS NULL THEN 'null(user_id)'
  WHEN item_id IS NULL THEN 'null(item_id)'
  WHEN bad_time(clicked_at) THEN 'type(clicked_at)'
  WHEN clicked_at IS NULL THEN 'null(clicked_at)'
  WHEN bad_time(known_at) THEN 'type(known_at)'
  WHEN known_at IS NULL THEN 'null(known_at)'
  WHEN CAST(clicked_at AS DATE) <> ds THEN 'event_day(clicked_at)'
  WHEN bad_known(known_at, ds) THEN 'known_at(known_at)'
END AS reason
FROM typed;

-- Few rows are told twice, if any: only their versions are put in order.
CREATE TABLE impressions AS
SELECT * EXCLUDE (reason), CAST(NULL AS TIMESTAMP) AS until FROM judged_impressions WHERE reason IS NULL;

CREATE TEMP TABLE impressions_told_again AS
SELECT ds, impression_id FROM impressions GROUP BY ALL HAVING count(*) > 1;

CREATE TEMP TABLE impressions_in_order AS
SELECT *, lead(planned_at) OVER (PARTITION BY ds, impression_id ORDER BY planned_at) AS until
FROM (
  SELECT DISTINCT * EXCLUDE (until) FROM impressions SEMI JOIN impressions_told_again USING (ds, impression_id)
);

DELETE FROM impressions USING impressions_told_again AS again
WHERE impressions.ds = again.ds AND impressions.impression_id = again.impression_id;

INSERT INTO impressions SELECT * FROM impressions_in_order;

CREATE TABLE clicks AS
SELECT * EXCLUDE (reason), CAST(NULL AS TIMESTAMP) AS until FROM judged_clicks WHERE reason IS NULL;

CREATE TEMP TABLE clicks_told_again AS
SELECT ds, impression_id FROM clicks GROUP BY ALL HAVING count(*) > 1;

CREATE TEMP TABLE clicks_in_order AS
SELECT *, lead(known_at) OVER (PARTITION BY ds, impression_id ORDER BY known_at) AS until
FROM (
  SELECT DISTINCT * EXCLUDE (until) FROM clicks SEMI JOIN clicks_told_again USING (ds, impression_id)
);

DELETE FROM clicks USING clicks_told_again AS again
WHERE clicks.ds = again.ds AND clicks.impression_id = again.impression_id;

INSERT INTO clicks SELECT * FROM clicks_in_order;

CREATE TABLE quarantine AS
SELECT 'impressions' AS stream, ds, reason, to_json(judged_impressions) AS row
FROM judged_impressions WHERE reason IS NOT NULL
UNION ALL
SELECT 'impressions', ds, 'superseded', to_json(impressions)
FROM impressions WHERE until IS NOT NULL
UNION ALL
SELECT 'clicks', ds, reason, to_json(judged_clicks) FROM judged_clicks WHERE reason IS NOT NULL
UNION ALL
SELECT 'clicks', ds, 'superseded', to_json(clicks) FROM clicks WHERE until IS NOT NULL;

-- Side tables: a single bad row stops the work.
CREATE TABLE users AS
SELECT ds, nfc(user_id) AS user_id, CAST(event_time AS TIMESTAMP) AS event_time,
  CAST(known_at AS TIMESTAMP) AS known_at, nfc(segment) AS segment, nfc(city) AS city, age, signup_day
FROM delivered('users');

CREATE TABLE items AS
SELECT ds, nfc(item_id) AS item_id, CAST(event_time AS TIMESTAMP) AS event_time,
  CAST(known_at AS TIMESTAMP) AS known_at, nfc(category) AS category, nfc(brand) AS brand, price, launched_day
FROM delivered('items');

SELECT CASE WHEN count(*) > 0 THEN error('users: ' || count(*) || ' bad rows') END FROM users
WHERE user_id IS NULL OR event_time IS NULL OR known_at IS NULL OR bad_time(event_time)
  OR bad_time(known_at) OR bad_known(known_at, ds);

SELECT CASE WHEN count(*) > 0 THEN error('items: ' || count(*) || ' bad rows') END FROM items
WHERE item_id IS NULL OR event_time IS NULL OR known_at IS NULL OR bad_time(event_time)
  OR bad_time(known_at) OR bad_known(known_at, ds) OR bad_number(price);
