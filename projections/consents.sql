-- Consents, one page of events at a time.

-- name: decide
INSERT INTO consents
    (member_id, position, purpose, channel, given, text_id, text_version, language_code, decided_at, expires_at,
     transaction_id, store, origin_channel, operator, credential)
SELECT member_id, position, purpose, channel, given <> 0, text_id, text_version, language_code, decided_at, expires_at,
       transaction_id, store, origin_channel, operator, credential
FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bigint[], %b::bigint[], %b::text[], %b::bigint[], %b::text[],
            %b::bigint[], %b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::text[], %b::text[])
    AS d (member_id, position, purpose, channel, given, text_id, text_version, language_code, decided_at, expires_at,
          transaction_id, store, origin_channel, operator, credential)

-- name: erase
INSERT INTO erased_members (member_id, position, erased_at, reason)
SELECT member_id, position, erased_at, reason
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bigint[]) AS e (member_id, position, erased_at, reason)
