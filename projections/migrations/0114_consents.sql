-- Consents: every decision of members about the use of their data, and who was erased. Instants are microseconds since
-- 1970-01-01 UTC; never is 2^63 - 1. Channels have the numbers of loyalty.v1.ContactChannel: 1 is all of them; origin channels
-- those of loyalty.v1.Channel; reasons those of loyalty.v1.ErasureReason.
CREATE PROCEDURE projection.create_consents() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE consents (
        member_id       uuid    NOT NULL,
        position        bigint  NOT NULL,
        purpose         text    NOT NULL,
        channel         int     NOT NULL,
        given           boolean NOT NULL,
        text_id         text    NOT NULL,  -- empty for a withdrawal
        text_version    bigint  NOT NULL,
        language_code   text    NOT NULL,
        decided_at      bigint  NOT NULL,
        expires_at      bigint  NOT NULL,
        transaction_id  uuid    NOT NULL,
        store           text    NOT NULL,
        origin_channel  int     NOT NULL,
        operator        text    NOT NULL,
        credential      text    NOT NULL,
        PRIMARY KEY (member_id, position)
    );

    CREATE TABLE erased_members (
        member_id       uuid    NOT NULL PRIMARY KEY,
        position        bigint  NOT NULL,
        erased_at       bigint  NOT NULL,
        reason          int     NOT NULL
    );
END $$;

CREATE PROCEDURE projection.show_consents(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.consents AS
            SELECT member_id, position, purpose, channel, given, text_id, text_version, language_code, decided_at,
                   expires_at, transaction_id, store, origin_channel
            FROM consents;
        -- Who took it down: for auditors, and not for BI tools.
        CREATE OR REPLACE VIEW %1$I.consent_operators AS
            SELECT member_id, position, operator, credential FROM consents;
        CREATE OR REPLACE VIEW %1$I.erased_members AS
            SELECT member_id, position, erased_at, reason FROM erased_members;

        -- What holds at an instant, by member, purpose and single way of contact: of the decisions about it, or about all ways,
        -- the one that was made last. Nobody may contact who is erased.
        CREATE OR REPLACE FUNCTION %1$I.consents_at(at_instant bigint)
        RETURNS TABLE (member_id uuid, purpose text, channel int, since bigint, expires_at bigint)
        LANGUAGE sql STABLE AS $body$
            SELECT d.member_id, d.purpose, d.channel, d.decided_at, d.expires_at
            FROM (
                SELECT DISTINCT ON (c.member_id, c.purpose, w.channel)
                       c.member_id, c.purpose, w.channel, c.given, c.decided_at, c.expires_at
                FROM %1$I.consents c
                JOIN (VALUES (2), (3), (4), (5), (6)) AS w (channel) ON c.channel IN (1, w.channel)
                WHERE c.decided_at <= at_instant
                ORDER BY c.member_id, c.purpose, w.channel, c.decided_at DESC, c.position DESC
            ) AS d
            WHERE d.given AND at_instant < d.expires_at
                AND NOT EXISTS (
                    SELECT FROM %1$I.erased_members e WHERE e.member_id = d.member_id AND e.erased_at <= at_instant
                )
        $body$;
    $names$, names);
END $$;

CALL projection.begin_generation('consents', 1);
CALL projection.show_generation('consents', 1);
