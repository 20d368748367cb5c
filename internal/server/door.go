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
	"net/url"
	"os"
	"path/filepath"
	"time"

	"borealis/internal/inquiry"
	"borealis/internal/volume"
)

// addressFile is where a running server says how its operator reaches it. It is
// in a directory that only the server's user may enter.
const addressFile = "operator/address.json"

type operatorAddress struct {
	Socket   string `json:"socket"`   // path of a Unix socket
	Endpoint string `json:"endpoint"` // URL of the API
}

// maxSocketPath is how long the path of a Unix socket may be on any system.
const maxSocketPath = 100

// operatorDoor is the socket of a running server.
type operatorDoor struct {
	listener net.Listener
	remove   func()
}

// listenForOperator opens the operator's socket. It is in the data directory,
// or, where that path is longer than a socket's may be, in a private directory
// of its own.
func (s *Server) listenForOperator(ctx context.Context, endpoint string) (*operatorDoor, error) {
	if err := s.sweepDoor(); err != nil {
		return nil, fmt.Errorf("remove the operator's socket of a server that was killed: %w", err)
	}
	path, cleanup := s.dir.join("operator/socket"), func() {}
	if len(path) > maxSocketPath {
		dir, err := os.MkdirTemp("", "borealis-")
		if err != nil {
			return nil, fmt.Errorf("listen for the operator: %w", err)
		}
		path, cleanup = filepath.Join(dir, "socket"), func() { os.Remove(dir) }
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		cleanup()
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	door := &operatorDoor{listener: l, remove: func() {
		os.Remove(s.dir.join(addressFile))
		l.Close() // removes the socket
		cleanup()
	}}
	text, err := json.Marshal(operatorAddress{Socket: path, Endpoint: endpoint})
	if err == nil {
		err = errors.Join(os.Chmod(path, 0o600), replaceFile(s.dir.join(addressFile), text))
	}
	if err != nil {
		door.remove()
		return nil, fmt.Errorf("listen for the operator: %w", err)
	}
	return door, nil
}

// sweepDoor removes what a server that was killed has left of its door.
func (s *Server) sweepDoor() error {
	if at, err := readAddress(s.dir.path); err == nil && at.Socket != s.dir.join("operator/socket") {
		os.Remove(at.Socket)
		os.Remove(filepath.Dir(at.Socket)) // which is not removed if anything else is in it
	}
	var err error
	for _, name := range []string{addressFile, addressFile + halfMade, "operator/socket"} {
		if rerr := os.Remove(s.dir.join(name)); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

func readAddress(data string) (at operatorAddress, err error) {
	text, err := os.ReadFile(filepath.Join(data, addressFile))
	if err != nil {
		return at, err
	}
	if err := json.Unmarshal(text, &at); err != nil {
		return at, fmt.Errorf("read %s: %w", addressFile, err)
	}
	return at, nil
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
	mux.HandleFunc("POST /accounts/{id}/keys", func(w http.ResponseWriter, r *http.Request) {
		a, err := s.CreateRootKey(r.Context(), r.PathValue("id"))
		answer(w, a, err)
	})
	mux.HandleFunc("POST /accounts/{id}/password", func(w http.ResponseWriter, r *http.Request) {
		var password string
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&password)
		if err == nil {
			err = s.SetRootPassword(r.Context(), r.PathValue("id"), password)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("GET /accounts", func(w http.ResponseWriter, r *http.Request) {
		list, err := s.Accounts(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("GET /seal", func(w http.ResponseWriter, r *http.Request) {
		sealed, err := s.Seal(r.Context())
		answer(w, sealed, err)
	})
	mux.HandleFunc("POST /seal", func(w http.ResponseWriter, r *http.Request) {
		var n NewRootKey
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&n); err != nil {
			answer(w, nil, err)
			return
		}
		// With very many secrets it takes longer than other answers.
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			answer(w, nil, err)
			return
		}
		sealed, err := s.ReplaceRootKey(r.Context(), n)
		answer(w, sealed, err)
	})
	mux.HandleFunc("POST /explain", func(w http.ResponseWriter, r *http.Request) {
		var a inquiry.Ask
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&a); err != nil {
			answer(w, nil, err)
			return
		}
		out, err := s.Explain(r.Context(), a)
		answer(w, out, err)
	})
	mux.HandleFunc("GET /volumes", func(w http.ResponseWriter, r *http.Request) {
		unhurried(w, func() (any, error) { return s.VolumeStats(r.Context()) })
	})
	mux.HandleFunc("POST /volumes/check", s.answerCheck)
	mux.Handle("GET /metrics", s.meters.handler())
	mux.HandleFunc("POST /audit/written", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, s.audit.Written())
	})
	return mux
}

// operatorServer serves the operator's socket.
func (s *Server) operatorServer() *http.Server {
	return &http.Server{Handler: s.operator(), ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
}

// unhurried answers what may take longer than other answers.
func unhurried(w http.ResponseWriter, do func() (any, error)) {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		answer(w, nil, err)
		return
	}
	v, err := do()
	answer(w, v, err)
}

// A checkLine is a line of the answer to a check: how far it is or, last, what
// came of it.
type checkLine struct {
	Done  int64        `json:"done,omitempty"`
	Total int64        `json:"total,omitempty"`
	Check *VolumeCheck `json:"check,omitempty"`
	Error string       `json:"error,omitempty"`
}

// progressEvery is how often a check says how far it is.
const progressEvery = 100 * time.Millisecond

// answerCheck answers with lines of JSON, as the check goes on.
func (s *Server) answerCheck(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		ReadData bool `json:"read_data"`
	}
	control := http.NewResponseController(w)
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&ask)
	if err = errors.Join(err, control.SetWriteDeadline(time.Time{})); err != nil {
		answer(w, nil, err)
		return
	}
	out := json.NewEncoder(w)
	var said time.Time
	check, err := s.CheckVolumes(r.Context(), ask.ReadData, func(done, total int64) {
		if time.Since(said) >= progressEvery {
			said = time.Now()
			// Whoever asked has gone if this fails, and so has the context.
			_ = out.Encode(checkLine{Done: done, Total: total})
			_ = control.Flush()
		}
	})
	last := checkLine{Check: &check}
	if err != nil {
		last = checkLine{Error: err.Error()}
	}
	_ = out.Encode(last)
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

// dialOperator is the operator of the server that runs on a data directory.
func dialOperator(ctx context.Context, data string) (*remote, error) {
	at, err := readAddress(data)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", at.Socket)
	}
	c, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	return &remote{endpoint: at.Endpoint, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}, c.Close()
}

func (r *remote) CreateAccount(ctx context.Context, n NewAccount) (a Account, err error) {
	body, err := json.Marshal(n)
	if err != nil {
		return a, err
	}
	err = r.ask(ctx, http.MethodPost, "/accounts", bytes.NewReader(body), &a)
	return a, err
}

func (r *remote) CreateRootKey(ctx context.Context, account string) (a Account, err error) {
	err = r.ask(ctx, http.MethodPost, "/accounts/"+url.PathEscape(account)+"/keys", nil, &a)
	return a, err
}

func (r *remote) SetRootPassword(ctx context.Context, account, password string) error {
	body, err := json.Marshal(password)
	if err != nil {
		return err
	}
	defer clear(body)
	return r.ask(ctx, http.MethodPost, "/accounts/"+url.PathEscape(account)+"/password", bytes.NewReader(body), &struct{}{})
}

func (r *remote) Accounts(ctx context.Context) (list []Account, err error) {
	err = r.ask(ctx, http.MethodGet, "/accounts", nil, &list)
	return list, err
}

func (r *remote) Seal(ctx context.Context) (out Seal, err error) {
	err = r.ask(ctx, http.MethodGet, "/seal", nil, &out)
	return out, err
}

func (r *remote) ReplaceRootKey(ctx context.Context, n NewRootKey) (out Seal, err error) {
	body, err := json.Marshal(n)
	if err != nil {
		return out, err
	}
	defer clear(body)
	err = r.ask(ctx, http.MethodPost, "/seal", bytes.NewReader(body), &out)
	return out, err
}

func (r *remote) VolumeStats(ctx context.Context) (out VolumeStats, err error) {
	err = r.ask(ctx, http.MethodGet, "/volumes", nil, &out)
	return out, err
}

func (r *remote) CheckVolumes(ctx context.Context, readData bool, progress volume.Progress) (VolumeCheck, error) {
	body, err := json.Marshal(map[string]bool{"read_data": readData})
	if err != nil {
		return VolumeCheck{}, err
	}
	lines, err := r.open(ctx, http.MethodPost, "/volumes/check", bytes.NewReader(body))
	if err != nil {
		return VolumeCheck{}, err
	}
	defer lines.Close()
	for d := json.NewDecoder(lines); ; {
		var line checkLine
		switch err := d.Decode(&line); {
		case err != nil:
			return VolumeCheck{}, fmt.Errorf("the running server stopped answering: %w", err)
		case line.Error != "":
			return VolumeCheck{}, errors.New(line.Error)
		case line.Check != nil:
			return *line.Check, nil
		case progress != nil:
			progress(line.Done, line.Total)
		}
	}
}

func (r *remote) Endpoint() string { return r.endpoint }

func (r *remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

func (r *remote) ask(ctx context.Context, method, path string, body io.Reader, out any) error {
	text, err := r.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer text.Close()
	return json.NewDecoder(text).Decode(out)
}

// open asks and returns the body of the answer, which the caller closes.
func (r *remote) open(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://operator"+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the running server: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var refused struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&refused); err != nil || refused.Error == "" {
		return nil, fmt.Errorf("the running server answered %s", resp.Status)
	}
	return nil, errors.New(refused.Error)
}

// halfMade ends the name of a file that replaceFile is at.
const halfMade = ".new"

// replaceFile makes a file hold data, all at once but not durably: what a server
// that runs says of itself need not survive a power cut, for the server does not.
func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+halfMade, data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+halfMade, path)
}
