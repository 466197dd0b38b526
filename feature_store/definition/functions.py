"""The functions that an expression of a definition may use: each a function of its arguments.

A list of what is allowed, for Spark gains functions with every release: one that reads the clock,
draws a number or calls Java must not become part of a pipeline because nobody had heard of it.
"""

from __future__ import annotations

FUNCTIONS = frozenset(
    # numbers
    "abs acos asin atan atan2 bround cbrt ceil ceiling cos degrees exp expm1 floor greatest hypot "
    "isnan least ln log log10 log1p log2 mod nanvl negative nullifzero pmod positive pow power "
    "radians rint round sign signum sin sqrt tan try_add try_divide try_mod try_multiply "
    "try_subtract width_bucket zeroifnull "
    # choices
    "coalesce if ifnull isnotnull isnull nullif nvl nvl2 "
    # text
    "ascii btrim char_length character_length concat concat_ws contains crc32 endswith hash "
    "initcap instr lcase left length levenshtein locate lower ltrim md5 regexp_count "
    "regexp_extract regexp_instr regexp_like regexp_replace regexp_substr replace reverse "
    "right rtrim sha1 sha2 soundex split split_part startswith substr substring "
    "substring_index translate trim ucase upper xxhash64 "
    # lists, as `split` makes them
    "array array_contains array_max array_min array_position element_at get size try_element_at "
    # times
    "add_months boolean bigint date date_add date_diff date_format date_from_unix_date date_sub "
    "date_trunc datediff day dayofmonth dayofweek dayofyear double from_utc_timestamp hour int "
    "last_day make_date make_timestamp minute month months_between next_day quarter second string "
    "timestamp timestamp_millis timestamp_seconds to_date to_timestamp to_unix_timestamp "
    "to_utc_timestamp trunc try_to_timestamp unix_date unix_micros unix_millis unix_seconds "
    "unix_timestamp weekday weekofyear year".split()
)

CONTEXTUAL = frozenset(
    "curdate current_catalog current_database current_date current_schema current_time "
    "current_timestamp current_timezone current_user input_file_block_length "
    "input_file_block_start input_file_name localtimestamp monotonically_increasing_id now rand "
    "randn random randstr session_user shuffle spark_partition_id uniform user uuid version".split()
)
"""Known to differ from run to run; refused with that reason rather than as unknown."""

AGGREGATES = frozenset(
    "any any_value approx_count_distinct array_agg avg bool_and bool_or collect_list collect_set "
    "count count_if every first first_value last last_value max max_by mean median min min_by mode "
    "percentile percentile_approx row_number rank dense_rank lag lead some std stddev stddev_pop "
    "stddev_samp sum try_avg try_sum var_pop var_samp variance".split()
)
"""Of many rows; refused with that reason rather than as unknown."""
