package store

import (
	"encoding/json"
	"fmt"

	"borealis/internal/keys"
)

const storeColumns = `account, region, id, version, body, secret`

func scanStore(scan func(...any) error) (k keys.KeyStore, err error) {
	var p keys.Place
	var id, body string
	var version int64
	var secret []byte
	if err := scan(&p.Account, &p.Region, &id, &version, &body, &secret); err != nil {
		return k, err
	}
	if err := json.Unmarshal([]byte(body), &k); err != nil {
		return k, fmt.Errorf("read custom key store %s: %w", id, err)
	}
	k.Place, k.ID, k.Version, k.Secret = p, id, version, secret
	return k, nil
}

func (t keyTx) KeyStore(p keys.Place, id string) (keys.KeyStore, error) {
	k, err := scanStore(t.tx.QueryRowContext(t.ctx, `SELECT `+storeColumns+` FROM kms_stores
		WHERE account = $1 AND region = $2 AND id = $3`, p.Account, p.Region, id).Scan)
	return k, notFound(err, "custom key store", id)
}

func (t keyTx) KeyStores(p keys.Place, after string, n int) ([]keys.KeyStore, error) {
	return queryRows(t, scanStore, `SELECT `+storeColumns+` FROM kms_stores
		WHERE account = $1 AND region = $2 AND id > $3 ORDER BY id LIMIT $4`, p.Account, p.Region, after, n)
}

func (t keyTx) ConnectingStores() ([]keys.KeyStore, error) {
	return queryRows(t, scanStore, `SELECT `+storeColumns+` FROM kms_stores
		WHERE connection = 'CONNECTING' ORDER BY account, region, id`)
}

func (t keyTx) StoreOfCluster(cluster string) (keys.KeyStore, error) {
	k, err := scanStore(t.tx.QueryRowContext(t.ctx, `SELECT `+storeColumns+` FROM kms_stores
		WHERE cluster = $1 AND cluster <> ''`, cluster).Scan)
	return k, notFound(err, "custom key store of cluster", cluster)
}

func (t keyTx) StoreKeys(p keys.Place, store, after string, n int) ([]string, error) {
	return queryRows(t, func(scan func(...any) error) (id string, err error) {
		err = scan(&id)
		return id, err
	}, `SELECT key_id FROM kms_store_keys WHERE account = $1 AND region = $2 AND store = $3 AND key_id > $4
		ORDER BY key_id LIMIT $5`, p.Account, p.Region, store, after, n)
}

func (t keyTx) KeyOfExternal(p keys.Place, store, external string) (id string, err error) {
	err = t.tx.QueryRowContext(t.ctx, `SELECT key_id FROM kms_store_keys
		WHERE account = $1 AND region = $2 AND store = $3 AND external = $4 AND external <> ''`,
		p.Account, p.Region, store, external).Scan(&id)
	return id, notFound(err, "key of external key", external)
}

func (t keyTx) PutKeyStore(k keys.KeyStore) error {
	body, err := encodeBody(k)
	if err != nil {
		return fmt.Errorf("write custom key store %s: %w", k.ID, err)
	}
	secret, err := t.db.fresh(PurposeKeys, k.Secret)
	if err != nil {
		return fmt.Errorf("write custom key store %s: %w", k.ID, err)
	}
	err = t.exec(`INSERT INTO kms_stores (account, region, id, version, name, connection, cluster, uri, body, secret)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (account, region, id) DO UPDATE SET version = excluded.version, name = excluded.name, connection = excluded.connection,
			cluster = excluded.cluster, uri = excluded.uri, body = excluded.body, secret = excluded.secret`,
		k.Account, k.Region, k.ID, k.Version, k.Name, string(k.Connection), k.Cluster, k.Proxy.URI(), body, secret)
	if err != nil {
		return fmt.Errorf("write custom key store %s: %w", k.ID, err)
	}
	return nil
}

func (t keyTx) DeleteKeyStore(p keys.Place, id string) error {
	return t.exec(`DELETE FROM kms_stores WHERE account = $1 AND region = $2 AND id = $3`, p.Account, p.Region, id)
}

// putStoreKey notes which custom key store k is in. That never changes.
func (t keyTx) putStoreKey(k keys.Key) error {
	if k.StoreID == "" {
		return nil
	}
	return t.exec(`INSERT INTO kms_store_keys (account, region, store, key_id, external) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, region, key_id) DO NOTHING`, k.Account, k.Region, k.StoreID, k.ID, k.XksKeyID)
}
