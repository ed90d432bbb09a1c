SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id"
  FROM "public"."task" AS "t1"
  WHERE ("t1"."id" = ($1::text)::uuid AND "t1"."id" <> ($2::text)::uuid AND "t1"."id" = ANY (($3::text[])::uuid[]) AND NOT ("t1"."id" = ANY (($4::text[])::uuid[])) AND "t1"."id" IS NOT NULL) AND ("t1"."created" > ($5::text)::timestamptz AND "t1"."created" >= ($6::text)::timestamptz AND "t1"."created" < ($7::text)::timestamptz AND "t1"."created" <= ($8::text)::timestamptz) AND ("t1"."max_retries" = ($9::text)::int4 AND "t1"."max_retries" = ANY (($10::text[])::int4[])) AND ("t1"."mapped" = ($11::text)::bool AND "t1"."mapped" <> ($12::text)::bool) AND "t1"."retry_delay" > ($13::text)::interval AND ("t1"."tags" = ($14::text)::jsonb AND "t1"."tags" @> ($15::text)::jsonb AND "t1"."tags" <@ ($16::text)::jsonb AND "t1"."tags" ? $17::text AND "t1"."tags" ?| $18::text[] AND "t1"."tags" ?& $19::text[] AND "t1"."tags" = ANY (($20::text[])::jsonb[])) AND ("t1"."name" LIKE $21::text AND "t1"."name" NOT LIKE $22::text AND "t1"."name" ILIKE $23::text AND "t1"."name" NOT ILIKE $24::text AND "t1"."name" SIMILAR TO $25::text AND "t1"."name" NOT SIMILAR TO $26::text AND "t1"."name" ~ $27::text AND "t1"."name" ~* $28::text AND "t1"."name" !~ $29::text AND "t1"."name" !~* $30::text AND "t1"."name" IS NULL)
) r
-- $1 = "a"
-- $2 = "b"
-- $3 = ["c", "d"]
-- $4 = []
-- $5 = "2020-01-01"
-- $6 = "2020-01-02"
-- $7 = "2020-01-03"
-- $8 = "2020-01-04"
-- $9 = "1"
-- $10 = ["1", "2"]
-- $11 = "true"
-- $12 = "false"
-- $13 = "00:01:00"
-- $14 = "[\"x\"]"
-- $15 = "{\"a\":[1.50,null,\"FLAG\"]}"
-- $16 = "1"
-- $17 = "k"
-- $18 = ["a"]
-- $19 = ["b"]
-- $20 = ["1", "\"two\""]
-- $21 = "a"
-- $22 = "b"
-- $23 = "c"
-- $24 = "d"
-- $25 = "e"
-- $26 = "f"
-- $27 = "g"
-- $28 = "h"
-- $29 = "i"
-- $30 = "j"
