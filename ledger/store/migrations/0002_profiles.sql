-- The profile store: the only place with personal data. Rows here can be changed and erased; events cannot.
--
-- Every table here refers to its member with ON DELETE CASCADE, so that a person is erased from all of them with one row.
-- PostgreSQL keeps samples of what is in a column, which erasing would leave behind: profile.keep_no_samples says so for every
-- column, and each migration that adds a table calls it.
CREATE SCHEMA profile;

CREATE TABLE profile.members (
    member_id       uuid    NOT NULL PRIMARY KEY,
    program         text    NOT NULL,
    given_name      text    NOT NULL,
    family_name     text    NOT NULL,
    language_code   text    NOT NULL
);

CREATE TABLE profile.identifiers (
    program         text    NOT NULL,
    type            smallint NOT NULL,  -- loyalty.v1.IdentifierType
    value           text    NOT NULL,   -- normalised: E.164, lower-case e-mail
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    CONSTRAINT identifiers_key PRIMARY KEY (program, type, value)
);

CREATE INDEX identifiers_member_idx ON profile.identifiers (member_id);

-- What an enrolment said, so that the same request id with another person is noticed. Erased with the person.
CREATE TABLE profile.enrollments (
    request_id      uuid    NOT NULL PRIMARY KEY,
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    request         bytea   NOT NULL    -- loyalty.v1.EnrollMemberRequest
);

CREATE PROCEDURE profile.keep_no_samples() LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'profile'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        EXECUTE format('ALTER TABLE profile.%I ALTER COLUMN %I SET STATISTICS 0', one.relname, one.attname);
    END LOOP;
    -- Of an expression in an index too.
    FOR one IN
        SELECT c.relname, a.attnum FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_index i ON i.indexrelid = c.oid
        WHERE c.relnamespace = 'profile'::regnamespace AND a.attnum > 0 AND i.indkey[a.attnum - 1] = 0
    LOOP
        EXECUTE format('ALTER INDEX profile.%I ALTER COLUMN %s SET STATISTICS 0', one.relname, one.attnum);
    END LOOP;
END $$;

CALL profile.keep_no_samples();
