-- What the SQL of both pipelines shares. `delivered` is a variable: the folder of the files.
SET TimeZone = 'UTC';

CREATE OR REPLACE MACRO delivered(name) AS TABLE
SELECT * REPLACE (CAST(ds AS DATE) AS ds)
FROM read_parquet(getvariable('delivered') || '/' || name || '/*/*.parquet', hive_partitioning = true);

-- The first day whose cut-off, midnight UTC, is after a value was known.
CREATE OR REPLACE MACRO usable_from(known_at) AS CAST(known_at AS DATE) + 1;

-- A word is one key however its accents are spelt.
CREATE OR REPLACE MACRO nfc(word) AS
CASE WHEN strlen(word) <> length(word) THEN nfc_normalize(word) ELSE word END;

CREATE OR REPLACE MACRO bad_time(moment) AS year(moment) NOT BETWEEN 1 AND 9999;

CREATE OR REPLACE MACRO bad_known(known_at, ds) AS
known_at < TIMESTAMP '1971-01-01' OR known_at >= CAST(ds AS TIMESTAMP) + INTERVAL 367 DAY;

CREATE OR REPLACE MACRO bad_number(number) AS isnan(number) OR isinf(number);

-- How a model takes a number and a category; a missing number is NaN, a missing category 0.
CREATE OR REPLACE MACRO signed_log1p(number) AS sign(number) * ln(1 + abs(number));
CREATE OR REPLACE MACRO as_value(number) AS CAST(coalesce(number, CAST('NaN' AS DOUBLE)) AS FLOAT);
CREATE OR REPLACE MACRO as_key(word) AS CASE WHEN word IS NULL THEN 0 ELSE hash(word) END;
