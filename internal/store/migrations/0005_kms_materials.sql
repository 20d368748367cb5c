-- +goose Up
-- Keys say what sort they are and which material encrypts.
UPDATE kms_keys SET body = '{"Spec":"SYMMETRIC_DEFAULT","Usage":"ENCRYPT_DECRYPT","Origin":"AWS_KMS","Current":"' || (
    SELECT m.id FROM kms_materials m
    WHERE m.account = kms_keys.account AND m.region = kms_keys.region AND m.key_id = kms_keys.id
    ORDER BY m.place DESC LIMIT 1
) || '",' || substr(body, 2);

-- The keys of one multi-Region family have materials of the same id, each sealed
-- for its own key; and a material may have lost its secret.
ALTER TABLE kms_materials RENAME TO kms_materials_before;
CREATE TABLE kms_materials (
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    key_id  TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    place   BIGINT NOT NULL, -- 0 is the key's first material
    created BIGINT NOT NULL, -- Unix milliseconds
    sealed  BYTEA,           -- opens with the root key only; NULL if there is no secret (any more)
    body    TEXT   NOT NULL, -- the rest of keys.Material, JSON
    PRIMARY KEY (account, region, key_id, id),
    UNIQUE (account, region, key_id, place),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE
);
INSERT INTO kms_materials (account, region, key_id, id, place, created, sealed, body)
    SELECT account, region, key_id, id, place, created, sealed, '{}' FROM kms_materials_before;
DROP TABLE kms_materials_before;
CREATE INDEX kms_materials_id ON kms_materials (id);

-- +goose Down
DROP TABLE kms_materials;
