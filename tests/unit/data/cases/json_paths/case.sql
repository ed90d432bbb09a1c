SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."settings" AS "whole", "t1"."settings" #> $1::text[] AS "same", "t1"."settings" #> $2::text[] AS "inner", "t1"."settings" #> $3::text[] AS "given"
  FROM "public"."flow" AS "t1"
) r
-- $1 = []
-- $2 = ["a", "b", "0", "odd key"]
-- $3 = ["x", "y"]
