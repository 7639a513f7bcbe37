-- create --
INSERT INTO token (token_id, name, role, experiments, digest, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- all --
SELECT * FROM token ORDER BY created_at DESC, token_id;

-- lock --
SELECT * FROM token WHERE token_id = $1 FOR UPDATE;

-- revoke --
UPDATE token SET revoked_at = $2, revoked_by = $3 WHERE token_id = $1;

-- by_digest --
SELECT * FROM token WHERE digest = $1;

-- callers --
SELECT digest, name, experiments, expires_at FROM token
WHERE role = 'caller' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
ORDER BY digest;

-- forget_sessions --
DELETE FROM session WHERE expires_at <= $1;

-- open_session --
INSERT INTO session (digest, token_id, expires_at) VALUES ($1, $2, $3);

-- by_session --
SELECT token.* FROM session JOIN token USING (token_id) WHERE session.digest = $1 AND session.expires_at > $2;

-- close_session --
DELETE FROM session WHERE digest = $1;
