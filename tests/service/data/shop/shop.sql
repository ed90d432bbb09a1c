-- A database that has nothing to do with Prefect: composite keys, self-references, enums, arrays, domains, reserved and
-- mixed-case names, two foreign keys to one table, views, functions of every kind.
CREATE SCHEMA "Stock";
CREATE TYPE "Stock"."Mood" AS ENUM ('sad', 'so so', 'happy');
CREATE DOMAIN "Stock".price AS numeric(30, 10) CHECK (VALUE >= 0);

CREATE TABLE person (
    id bigint PRIMARY KEY,
    "fullName" text NOT NULL,
    boss_id bigint REFERENCES person (id),
    mood "Stock"."Mood",
    moods "Stock"."Mood"[],
    nicknames text[],
    born date,
    wakes time,
    code char(4)
);

CREATE TABLE "order" (
    "select" integer,
    "Line" smallint,
    buyer bigint NOT NULL REFERENCES person (id),
    seller bigint REFERENCES person (id),
    total "Stock".price NOT NULL,
    weight double precision,
    ratio real,
    placed timestamp,
    scan bytea,
    note json,
    PRIMARY KEY ("select", "Line")
);

CREATE TABLE "Stock"."Item" (
    "order" integer NOT NULL,
    "line" smallint NOT NULL,
    "weird ""name"" 'quoted'" text,
    "the-dash" text,
    label varchar(10),
    FOREIGN KEY ("order", "line") REFERENCES "order" ("select", "Line")
);

CREATE VIEW spending AS SELECT buyer, sum(total) AS total, count(*) AS orders FROM "order" GROUP BY buyer;

CREATE FUNCTION "Stock".cheap("Limit" numeric, label text DEFAULT '') RETURNS SETOF "order" LANGUAGE sql STABLE AS
    $$ SELECT * FROM public."order" WHERE total <= $1 ORDER BY "select", "Line" $$;
CREATE FUNCTION everyone() RETURNS SETOF person LANGUAGE sql STABLE AS $$ SELECT * FROM public.person ORDER BY id DESC $$;
CREATE FUNCTION unnamed(bigint) RETURNS SETOF person LANGUAGE sql STABLE AS $$ SELECT * FROM public.person WHERE id = $1 $$;
CREATE FUNCTION oldest() RETURNS person LANGUAGE sql STABLE AS $$ SELECT * FROM public.person ORDER BY born LIMIT 1 $$;

INSERT INTO person VALUES
    (1, 'Ann', NULL, 'happy', '{happy,"so so"}', '{A,"b c"}', '1990-01-02', '06:30', 'ab'),
    (9007199254740993, 'Bob', 1, 'sad', NULL, '{}', '1980-05-06', NULL, NULL),
    (3, 'Cid', 1, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO "order" VALUES
    (1, 1, 1, 9007199254740993, 12345678901234567890.0123456789, 1.5, 0.1, '2020-01-02 03:04:05.6', '\xdeadbeef', '{"b": 1, "a": 2.0}'),
    (1, 2, 1, NULL, 2, 'NaN', NULL, NULL, NULL, NULL),
    (2, 1, 3, 1, 0.5, NULL, NULL, NULL, NULL, '[]');
INSERT INTO "Stock"."Item" VALUES (1, 1, 'x', 'y', 'one'), (1, 1, NULL, NULL, 'two'), (2, 1, NULL, NULL, NULL);
