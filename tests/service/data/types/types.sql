-- A table with a column of every kind of type; `low` and `high` hold the values that values.yaml names, `none` is all null.
CREATE SCHEMA other;
CREATE TYPE other.mood AS ENUM ('sad', 'so so', 'happy');
CREATE TYPE "Odd ""type""" AS ENUM ('a', 'b');
CREATE TYPE pair AS (x integer, y text);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN tiny AS positive CHECK (VALUE < 10);
CREATE DOMAIN feeling AS other.mood;
CREATE DOMAIN tags AS text[];

CREATE TABLE every (
    label text PRIMARY KEY,
    small smallint,
    whole integer,
    large bigint,
    exact numeric,
    money money,
    single real,
    double double precision,
    flag boolean,
    words text,
    short varchar(10),
    padded char(4),
    ident name,
    letter "char",
    one_bit bit,
    bits bit(3),
    many_bits varbit,
    id uuid,
    day date,
    clock time,
    zoned_clock timetz,
    moment timestamp,
    instant timestamptz,
    lapse interval,
    loose json,
    binary_json jsonb,
    bytes bytea,
    mood other.mood,
    odd "Odd ""type""",
    address inet,
    net cidr,
    mac macaddr,
    numbers int4range,
    search tsvector,
    place point,
    log_place pg_lsn,
    row_of pair,
    domain_number positive,
    domain_of_domain tiny,
    domain_of_enum feeling,
    domain_of_array tags,
    text_array text[],
    number_array numeric[],
    nested_array integer[][],
    enum_array other.mood[],
    json_array jsonb[],
    domain_array positive[],
    twice bigint GENERATED ALWAYS AS (whole::bigint * 2) STORED,
    serial bigint GENERATED ALWAYS AS IDENTITY
);

INSERT INTO every VALUES
    ('low', -32768, -2147483648, -9223372036854775808, -1234567890123456789012345678901234567890.0123456789,
     -12.5, -1.5, -1e308, false, '', 'a', 'ab', 'ident', 'a', B'0', B'010', B'', '00000000-0000-4000-8000-000000000001',
     '-infinity', '00:00', '06:30:00+02', '0044-03-15 12:00 BC', '-infinity', '-1 day', '{"b": 1,  "a": 1.50}',
     '{"b": 1, "a": 1.50}', '', 'sad', 'a', '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '[1,5)', 'cat sat', '(1,2)',
     '0/1', '(1,a)', 1, 1, 'sad', '{}', '{}', '{}', '{{1,2},{3,4}}', '{sad}', '{}', '{1}'),
    ('high', 32767, 2147483647, 9223372036854775807, 'NaN', 12.5, 'infinity', 'NaN', true,
     E'quote '' " \\ % _ \n ☃', 'é', 'abcd', 'Ident', 'z', B'1', B'101', B'1010101',
     'ffffffff-ffff-4fff-bfff-ffffffffffff', '2020-02-29', '23:59:59.999999', '06:30:00-02', 'infinity',
     '2020-01-02 03:04:05.120+02', '1 year 2 mons 3 days 04:05:06.7', '[1e2, null]', '{"deep": [1.10, {"x": null}]}',
     '\xdeadbeef', 'happy', 'b', '10.0.0.2/24', '10.1.0.0/16', '08:00:2b:01:02:04', '[10,)', '''x'':1', '(3,4.5)',
     'FF/1', '(2,"b ""c"", d")', 2147483647, 9, 'happy', '{z}', ARRAY['a b', NULL, 'q"u\o,te', '', 'NULL'],
     '{1.50,NaN,12345678901234567890123456789012345678.5}', '{{5,6},{7,8}}', '{"so so",happy}',
     ARRAY['{"a": 1}', '[1.0]', '"s"']::jsonb[], '{2,3}');
INSERT INTO every (label) VALUES ('none');
