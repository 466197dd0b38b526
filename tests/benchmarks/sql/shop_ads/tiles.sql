-- Daily sums by key, apart for each day from which they may be used. What was corrected counts
-- until its correction is known: from then on a tile takes it off again.
CREATE VIEW impression_changes AS
SELECT ds, user_id, item_id, position, usable_from(planned_at) AS usable_from, 1 AS sign
FROM impressions
UNION ALL
SELECT ds, user_id, item_id, position, usable_from(until), -1 FROM impressions
WHERE until IS NOT NULL;

CREATE VIEW click_changes AS
SELECT ds, user_id, item_id, usable_from(known_at) AS usable_from, 1 AS sign FROM clicks
UNION ALL
SELECT ds, user_id, item_id, usable_from(until), -1 FROM clicks WHERE until IS NOT NULL;

CREATE TABLE item_clicks AS
SELECT ds, item_id, usable_from, sum(sign) AS n FROM click_changes GROUP BY ALL HAVING n <> 0;

CREATE TABLE user_clicks AS
SELECT ds, user_id, usable_from, sum(sign) AS n FROM click_changes GROUP BY ALL HAVING n <> 0;

CREATE TABLE item_shown AS
SELECT ds, item_id, usable_from, sum(sign) AS n, sum(sign * position) AS total
FROM impression_changes GROUP BY ALL HAVING n <> 0 OR total <> 0;

CREATE TABLE user_shown AS
SELECT ds, user_id, usable_from, sum(sign) AS n FROM impression_changes
GROUP BY ALL HAVING n <> 0;
