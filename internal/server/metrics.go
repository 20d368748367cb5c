package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/volume"
)

// meters are what a server counts about its snapshots, for Prometheus.
type meters struct {
	registry *prometheus.Registry

	requests       *prometheus.CounterVec // to the store of volumes
	requestSeconds *prometheus.HistogramVec
	requestBytes   *prometheus.CounterVec
	jobs           *prometheus.CounterVec // on volumes
	jobSeconds     *prometheus.HistogramVec
	jobBytes       *prometheus.CounterVec
	scrubbed       prometheus.Gauge
	scrubBytes     prometheus.Counter
	problems       prometheus.Gauge
	held           *prometheus.GaugeVec
}

// Buckets of durations, in seconds: of requests to the store, and of jobs.
var (
	requestBuckets = []float64{.0005, .002, .008, .03, .12, .5, 2, 8, 30}
	jobBuckets     = []float64{.25, 1, 4, 15, 60, 240, 900, 3600, 14400}
)

func newMeters() *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "borealis_volume_store_requests_total", Help: "Requests to the disk or bucket that snapshots are in."}, []string{"operation", "outcome"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "borealis_volume_store_request_seconds", Help: "How long they took.", Buckets: requestBuckets}, []string{"operation"}),
		requestBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "borealis_volume_store_bytes_total", Help: "Bytes that they have read and written."}, []string{"direction"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "borealis_volume_jobs_total", Help: "Snapshots taken, copied, restored and deleted."}, []string{"job", "outcome"}),
		jobSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "borealis_volume_job_seconds", Help: "How long that took.", Buckets: jobBuckets}, []string{"job"}),
		jobBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "borealis_volume_job_bytes_total", Help: "Size of the data that snapshots were taken or copied of."}, []string{"job"}),
		scrubbed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "borealis_volume_scrub_end_seconds", Help: "When the last scrub ended, in seconds since 1970."}),
		scrubBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "borealis_volume_scrub_bytes_total", Help: "Bytes that scrubs have read."}),
		problems: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "borealis_volume_problems", Help: "Objects of snapshots that the last scrub found damaged or missing."}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "borealis_volume_held_bytes", Help: "Size of snapshots at the last scrub: of their data (logical), as stored, and of no snapshot (garbage)."}, []string{"kind"}),
	}
	m.registry.MustRegister(m.requests, m.requestSeconds, m.requestBytes, m.jobs, m.jobSeconds, m.jobBytes,
		m.scrubbed, m.scrubBytes, m.problems, m.held, collectors.NewGoCollector())
	return m
}

// handler answers in Prometheus's text format.
func (m *meters) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// listenForMetrics takes the address at which metrics are served; nil if there is
// none.
func (s *Server) listenForMetrics(ctx context.Context) (net.Listener, error) {
	if s.cfg.Metrics == "" {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("listen where --metrics says, at %s: %w", s.cfg.Metrics, err)
	}
	s.cfg.Log.InfoContext(ctx, "serving metrics", "url", "http://"+l.Addr().String()+"/metrics")
	return l, nil
}

// serveMetrics answers on l until ctx ends. Metrics say how much there is and how
// fast it goes, and name nothing.
func (s *Server) serveMetrics(ctx context.Context, l net.Listener) error {
	if l == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.meters.handler())
	return serve(ctx, &http.Server{Handler: mux, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute}, l)
}

// watchCache adds what the cache of a bucket does.
func (m *meters) watchCache(s *Server) {
	const help = "Of the local cache of snapshots in S3."
	for name, value := range map[string]func() float64{
		"borealis_volume_cache_bytes":     func() float64 { return float64(s.cached.Stats().Size) },
		"borealis_volume_cache_max_bytes": func() float64 { return float64(s.cached.Stats().Max) },
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	for name, value := range map[string]func() float64{
		"borealis_volume_cache_hits_total":    func() float64 { return float64(s.cached.Stats().Hits) },
		"borealis_volume_cache_misses_total":  func() float64 { return float64(s.cached.Stats().Misses) },
		"borealis_volume_cache_damaged_total": func() float64 { return float64(s.cached.Stats().Damaged) },
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
}

// outcome is the word for how something ended.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, cloud.ErrNotFound):
		return "not found"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	}
	return "error"
}

// measured is a backend whose requests are counted.
type measured struct {
	volume.Backend
	m *meters
}

// did counts a request.
func (b measured) did(operation string, began time.Time, direction string, bytes int, err error) {
	b.m.requests.WithLabelValues(operation, outcome(err)).Inc()
	b.m.requestSeconds.WithLabelValues(operation).Observe(time.Since(began).Seconds())
	if err == nil && direction != "" {
		b.m.requestBytes.WithLabelValues(direction).Add(float64(bytes))
	}
}

func (b measured) Put(ctx context.Context, name string, data []byte) error {
	began := time.Now()
	err := b.Backend.Put(ctx, name, data)
	b.did("put", began, "written", len(data), err)
	return err
}

func (b measured) Get(ctx context.Context, name string) ([]byte, error) {
	began := time.Now()
	data, err := b.Backend.Get(ctx, name)
	b.did("get", began, "read", len(data), err)
	return data, err
}

func (b measured) GetRange(ctx context.Context, name string, off int64, p []byte) error {
	began := time.Now()
	err := b.Backend.GetRange(ctx, name, off, p)
	b.did("get range", began, "read", len(p), err)
	return err
}

func (b measured) List(ctx context.Context, prefix string) ([]volume.Object, error) {
	began := time.Now()
	list, err := b.Backend.List(ctx, prefix)
	b.did("list", began, "", 0, err)
	return list, err
}

func (b measured) Delete(ctx context.Context, name string) error {
	began := time.Now()
	err := b.Backend.Delete(ctx, name)
	b.did("delete", began, "", 0, err)
	return err
}

// measuredVolumes counts the jobs of clusters.
type measuredVolumes struct {
	clusters.Volumes
	m *meters
}

func (v measuredVolumes) did(job string, began time.Time, bytes int64, err error) {
	v.m.jobs.WithLabelValues(job, outcome(err)).Inc()
	v.m.jobSeconds.WithLabelValues(job).Observe(time.Since(began).Seconds())
	if err == nil && bytes > 0 {
		v.m.jobBytes.WithLabelValues(job).Add(float64(bytes))
	}
}

func (v measuredVolumes) Take(ctx context.Context, engine string, to clusters.VolumeSpec, p clusters.Progress) (clusters.VolumeInfo, error) {
	began := time.Now()
	info, err := v.Volumes.Take(ctx, engine, to, p)
	v.did("take", began, info.Bytes, err)
	return info, err
}

func (v measuredVolumes) Copy(ctx context.Context, from clusters.VolumeRef, to clusters.VolumeSpec, p clusters.Progress) (clusters.VolumeInfo, error) {
	began := time.Now()
	info, err := v.Volumes.Copy(ctx, from, to, p)
	v.did("copy", began, info.Bytes, err)
	return info, err
}

func (v measuredVolumes) Restore(ctx context.Context, from clusters.VolumeRef, engine string, p clusters.Progress) error {
	began := time.Now()
	err := v.Volumes.Restore(ctx, from, engine, p)
	v.did("restore", began, 0, err)
	return err
}

func (v measuredVolumes) Delete(ctx context.Context, ref clusters.VolumeRef) error {
	began := time.Now()
	err := v.Volumes.Delete(ctx, ref)
	v.did("delete", began, 0, err)
	return err
}
