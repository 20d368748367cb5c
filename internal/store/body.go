package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

// decodeRow reads the one column of a row, a struct of ours as JSON. Where there
// is no row it is cloud.ErrNotFound, naming kind and id.
func decodeRow[T any](row *sql.Row, kind, id string) (v T, err error) {
	var body string
	if err := row.Scan(&body); err != nil {
		return v, notFound(err, kind, id)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return v, fmt.Errorf("read %s %s: %w", kind, id, err)
	}
	return v, nil
}

// decodeRows reads the one column of each row, a struct of ours as JSON. It
// takes the results of a query as they come.
func decodeRows[T any](rows *sql.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var body string
		var v T
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// encodeBody is a struct of ours as it is kept in a column.
func encodeBody(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
