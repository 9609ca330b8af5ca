-- People, how they prove who they are, and for how long. Nothing that opens a door is stored as it is: passwords as
-- argon2id, tokens, codes and invites as SHA-256 (they are random, so a plain hash is enough), TOTP seeds sealed.
ALTER TABLE profiles ADD COLUMN theme text NOT NULL DEFAULT 'system';

CREATE TABLE user_roles (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    role    text NOT NULL CHECK (role IN ('user', 'operator')),
    PRIMARY KEY (user_id, role)
);

CREATE TABLE credentials (
    user_id        text PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    password_hash  text NOT NULL,
    changed_at_ms  bigint NOT NULL DEFAULT now_ms(),
    totp_sealed    bytea,
    totp_active    boolean NOT NULL DEFAULT false,
    totp_last_step bigint NOT NULL DEFAULT 0,
    CHECK (totp_sealed IS NOT NULL OR NOT totp_active)
);

CREATE TABLE recovery_codes (
    user_id    text NOT NULL REFERENCES users ON DELETE CASCADE,
    hash       bytea NOT NULL,
    used_at_ms bigint,
    PRIMARY KEY (user_id, hash)
);
