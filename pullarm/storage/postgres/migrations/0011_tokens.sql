-- Tokens and the dashboard's sessions; of the secrets of both only SHA-256 digests are kept.

CREATE TABLE token (
    token_id    text PRIMARY KEY,
    name        text NOT NULL,               -- of who or what uses it; several may share it while one replaces another
    role        text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'caller')),
    experiments integer[],                   -- ascending; NULL: all
    digest      bytea NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    revoked_by  text NOT NULL DEFAULT ''
);

-- Somebody who has shown a token to the dashboard; holds no longer than that token.
CREATE TABLE session (
    digest     bytea PRIMARY KEY,
    token_id   text NOT NULL REFERENCES token ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);

CREATE INDEX ON session (expires_at);
