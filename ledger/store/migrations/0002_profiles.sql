-- The profile store: the only place with personal data. Rows here can be changed and erased; events cannot.
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
