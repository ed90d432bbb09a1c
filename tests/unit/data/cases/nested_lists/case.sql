SELECT coalesce(json_agg(r.*), '[]')
FROM (
  SELECT "t1"."name" AS "name", (
    SELECT coalesce(json_agg(r.*), '[]')
    FROM (
      SELECT "t2"."name" AS "name", (
        SELECT coalesce(json_agg(r.*), '[]')
        FROM (
          SELECT DISTINCT ON ("t3"."state") "t3"."state" AS "state"
          FROM "public"."flow_run_state" AS "t3"
          WHERE "t3"."flow_run_id" = "t2"."id"
          ORDER BY "t3"."state"
        ) r
      ) AS "states"
      FROM (
        SELECT *
        FROM (
          SELECT "t2".*
          FROM "public"."flow_run" AS "t2"
          WHERE "t2"."flow_id" = "t1"."id" AND "t2"."state" = $1::text
          ORDER BY "t2"."created" DESC
          LIMIT 4
        ) AS "t2"
        LIMIT ($2::text)::int4
      ) AS "t2"
    ) r
  ) AS "newest", (
    SELECT coalesce(json_agg(r.*), '[]')
    FROM (
      SELECT *
      FROM (
        SELECT "t4"."name" AS "name"
        FROM "public"."flow_run" AS "t4"
        WHERE "t4"."flow_id" = "t1"."id"
        ORDER BY "t4"."created"
        LIMIT 4
      ) AS "t4"
      LIMIT ($3::text)::int4
      OFFSET ($4::text)::int4
    ) r
  ) AS "oldest"
  FROM (
    SELECT *
    FROM (
      SELECT "t1".*
      FROM "public"."flow" AS "t1"
      LIMIT 4
    ) AS "t1"
    LIMIT ($5::text)::int4
  ) AS "t1"
) r
-- $1 = "Running"
-- $2 = "3"
-- $3 = "1"
-- $4 = "3"
-- $5 = "3"
