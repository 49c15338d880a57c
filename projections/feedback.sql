-- Feedback, one page of events at a time.

-- name: say
-- A rating or score is -1 where none was given.
INSERT INTO feedback
    (member_id, position, feedback_id, program, said_at, day, subject, about, store, sku, reward_id, tier, channel, rating,
     nps, has_text, language_code)
SELECT member_id, position, feedback_id, program, said_at, day::date, subject, about, store, sku, reward_id, tier, channel,
       nullif(rating, -1), nullif(nps, -1), has_text <> 0, language_code
FROM unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[], %b::bigint[], %b::uuid[],
            %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],
            %b::text[])
    AS f (member_id, position, feedback_id, program, said_at, day, subject, about, store, sku, reward_id, tier, channel,
          rating, nps, has_text, language_code)
