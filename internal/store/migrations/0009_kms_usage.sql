-- +goose Up
-- The last use of each key. It is written now and then, not with each use.
CREATE TABLE kms_usage (
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    key_id  TEXT   NOT NULL,
    used    BIGINT NOT NULL, -- Unix milliseconds
    body    TEXT   NOT NULL, -- the rest of keys.Usage, JSON
    PRIMARY KEY (account, region, key_id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE
);

-- +goose Down
DROP TABLE kms_usage;
