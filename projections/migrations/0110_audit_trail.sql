-- The audit trail: one row for each thing that somebody did, as loyalty.v1.AuditEntry has it. Enums are their numbers.
CREATE PROCEDURE projection.create_audit_trail() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE audit_entries (
        position        bigint  NOT NULL,
        entry           bigint  NOT NULL,  -- which of the event's, from 0
        stream_id       uuid    NOT NULL,
        recorded_at     bigint  NOT NULL,  -- microseconds since 1970-01-01 UTC, like all instants
        kind            smallint NOT NULL,
        actor           text    NOT NULL,
        role            text    NOT NULL,
        operator        text    NOT NULL,
        method          text    NOT NULL,
        resource        text    NOT NULL,
        member_id       uuid,              -- whose resource it is, where it is a member's
        store           text    NOT NULL,
        terminal        text    NOT NULL,
        network         text    NOT NULL,
        reason          smallint NOT NULL, -- 0 for what was done
        count           bigint  NOT NULL,
        first_at        bigint  NOT NULL,
        last_at         bigint  NOT NULL,
        details         jsonb   NOT NULL,
        PRIMARY KEY (position, entry)
    );
    CREATE INDEX audit_entries_actor_idx ON audit_entries (actor, position, entry);
    CREATE INDEX audit_entries_operator_idx ON audit_entries (operator, position, entry) WHERE operator <> '';
    CREATE INDEX audit_entries_member_idx ON audit_entries (member_id, position, entry) WHERE member_id IS NOT NULL;
    CREATE INDEX audit_entries_method_idx ON audit_entries (method, position, entry);
END $$;

CREATE PROCEDURE projection.show_audit_trail(names text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($names$
        CREATE OR REPLACE VIEW %1$I.audit_trail AS
            SELECT position, entry, recorded_at, kind, actor, role, operator, method, resource, member_id, store, terminal,
                   network, reason, count, first_at, last_at, details
            FROM audit_entries;
    $names$, names);
END $$;

CALL projection.begin_generation('audit_trail', 1);
CALL projection.show_generation('audit_trail', 1);
