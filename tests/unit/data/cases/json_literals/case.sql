SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id"
  FROM "public"."flow" AS "t1"
  WHERE "t1"."settings" @> ($1::text)::jsonb OR "t1"."settings" = ($2::text)::jsonb OR "t1"."parameters" @> ($3::text)::jsonb
) r
-- $1 = "{\"a\":\"it's \\\"quoted\\\"\",\"b\":[5,12345678901234567890.10]}"
-- $2 = "\"a string\""
-- $3 = "[{\"name\":\"x\"}]"
