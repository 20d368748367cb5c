package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"borealis/internal/cloud"
	"borealis/internal/durable"
	"borealis/internal/identity"
)

// An Operator does to a data directory what only its operator may, beside the
// API. Close ends it.
type Operator interface {
	// CreateAccount makes an account and an access key of its root user.
	CreateAccount(context.Context, NewAccount) (Account, error)
	// Accounts lists the accounts.
	Accounts(context.Context) ([]Account, error)
	// Endpoint is the URL of the running server, "" if none runs.
	Endpoint() string
	io.Closer
}

// NewAccount is an account to make.
type NewAccount struct {
	ID   string `json:"id,omitempty"` // 12 digits; random ones if empty
	Name string `json:"name"`
	// AccessKeyID and SecretAccessKey are the root user's; new ones if empty.
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
}

// Account is an account, with its root user's new access key if it was just made.
type Account struct {
	ID              string `json:"account_id"`
	Name            string `json:"name"`
	AccessKeyID     string `json:"access_key_id,omitempty"`
	SecretAccessKey string `json:"secret_access_key,omitempty"`
}

// Operate is the operator of cfg.Data: through the server that runs on it, or,
// if none does, on the directory itself.
func Operate(ctx context.Context, cfg Config) (Operator, error) {
	s, err := Open(ctx, cfg)
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, ErrLocked) {
		return nil, err
	}
	text, readErr := os.ReadFile(filepath.Join(cfg.Data, addressFile))
	if readErr != nil {
		return nil, fmt.Errorf("%w, which does not say where it can be reached: %w", err, readErr)
	}
	var at operatorAddress
	if err := json.Unmarshal(text, &at); err != nil {
		return nil, fmt.Errorf("read %s: %w", addressFile, err)
	}
	return newRemote(at), nil
}

// CreateAccount makes an account.
func (s *Server) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	a, key, err := s.identity.CreateAccount(ctx, identity.NewAccount{
		ID: cloud.AccountID(n.ID), Name: n.Name, Root: identity.RootKey{AccessKeyID: n.AccessKeyID, SecretAccessKey: n.SecretAccessKey},
	})
	if err != nil {
		return Account{}, err
	}
	return Account{ID: string(a.ID), Name: a.Name, AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
}

// Accounts lists the accounts.
func (s *Server) Accounts(ctx context.Context) ([]Account, error) {
	all, err := s.identity.Accounts(ctx)
	list := []Account{}
	for _, a := range all {
		list = append(list, Account{ID: string(a.ID), Name: a.Name})
	}
	return list, err
}

// Endpoint is "": this Server does not listen.
func (s *Server) Endpoint() string { return "" }

// bootstrap makes the accounts of the bootstrap file that do not exist.
func (s *Server) bootstrap(ctx context.Context) error {
	if s.cfg.Bootstrap == "" {
		return nil
	}
	text, err := os.ReadFile(s.cfg.Bootstrap)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	var file struct {
		Accounts []NewAccount `json:"accounts"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return fmt.Errorf("bootstrap file %s: %w", s.cfg.Bootstrap, err)
	}
	for i, n := range file.Accounts {
		if n.ID == "" || n.AccessKeyID == "" || n.SecretAccessKey == "" {
			return fmt.Errorf("bootstrap file %s: account %d needs id, access_key_id and secret_access_key", s.cfg.Bootstrap, i)
		}
		if _, err := s.CreateAccount(ctx, n); err != nil && !errors.Is(err, cloud.ErrExists) {
			return fmt.Errorf("bootstrap file %s: account %s: %w", s.cfg.Bootstrap, n.ID, err)
		}
	}
	return nil
}

// addressFile is where a running server says how its operator reaches it.
const addressFile = "admin.addr"

type operatorAddress struct {
	Socket   string `json:"socket"`   // path of a Unix socket that only the server's user may use
	Endpoint string `json:"endpoint"` // URL of the API
}

// operatorDoor is the socket of a running server.
type operatorDoor struct {
	listener net.Listener
	remove   func()
}

// listenForOperator opens the operator's socket. It is in the data directory,
// or, where that path is longer than a socket's may be, in a private directory
// of its own.
func (s *Server) listenForOperator(ctx context.Context, endpoint string) (*operatorDoor, error) {
	path, cleanup := s.dir.join("admin.sock"), func() {}
	if len(path) > 100 {
		dir, err := os.MkdirTemp("", "borealis-")
		if err != nil {
			return nil, err
		}
		path, cleanup = filepath.Join(dir, "admin.sock"), func() { os.RemoveAll(dir) }
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a server that was killed
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	door := &operatorDoor{listener: l, remove: func() {
		os.Remove(s.dir.join(addressFile))
		os.Remove(path)
		cleanup()
	}}
	text, err := json.Marshal(operatorAddress{Socket: path, Endpoint: endpoint})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(path, 0o600), durable.WriteFile(s.dir.join(addressFile), text, 0o600)); err != nil {
		door.remove()
		return nil, errors.Join(err, l.Close())
	}
	return door, nil
}

// operator answers on the operator's socket.
func (s *Server) operator() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accounts", func(w http.ResponseWriter, r *http.Request) {
		var n NewAccount
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&n); err != nil {
			answer(w, nil, err)
			return
		}
		a, err := s.CreateAccount(r.Context(), n)
		answer(w, a, err)
	})
	mux.HandleFunc("GET /accounts", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Accounts(r.Context())
		answer(w, list, err)
	})
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status, v = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Whoever asked has gone if this fails.
	_ = json.NewEncoder(w).Encode(v)
}

// remote is the Operator of a server in another process.
type remote struct {
	endpoint string
	client   *http.Client
}

func newRemote(at operatorAddress) *remote {
	return &remote{endpoint: at.Endpoint, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", at.Socket)
		},
	}}}
}

func (r *remote) CreateAccount(ctx context.Context, n NewAccount) (a Account, err error) {
	body, err := json.Marshal(n)
	if err != nil {
		return a, err
	}
	err = r.ask(ctx, http.MethodPost, bytes.NewReader(body), &a)
	return a, err
}

func (r *remote) Accounts(ctx context.Context) (list []Account, err error) {
	err = r.ask(ctx, http.MethodGet, nil, &list)
	return list, err
}

func (r *remote) Endpoint() string { return r.endpoint }

func (r *remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

func (r *remote) ask(ctx context.Context, method string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://operator/accounts", body)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var refused struct{ Error string }
		if err := json.NewDecoder(resp.Body).Decode(&refused); err != nil {
			return fmt.Errorf("the running server answered %s", resp.Status)
		}
		return errors.New(refused.Error)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
