package identity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
)

// A credentialReport is the state of everybody's credentials, as it was when
// somebody asked. It is stored, so its fields change only with a migration.
type credentialReport struct {
	Created time.Time
	CSV     string
}

// reportColumns are the columns of a credential report.
var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// What a column says where it has nothing to say.
const (
	notApplicable = "N/A"
	noInformation = "no_information"
	notSupported  = "not_supported"
)

// GenerateCredentialReport makes a report of everybody's credentials, unless there
// is one of the last four hours. It is ready at once.
func (v *View) GenerateCredentialReport(ctx context.Context, _ *iam.GenerateCredentialReportInput) (*iam.GenerateCredentialReportOutput, error) {
	out := &iam.GenerateCredentialReportOutput{State: types.ReportStateTypeComplete}
	return out, v.change(ctx, func(r *request) error {
		a, err := r.own("iam:GenerateCredentialReport")
		if err != nil {
			return err
		}
		last, i, err := findItem[credentialReport](r, a.ID, ReportItem, string(a.ID))
		there := !errors.Is(err, cloud.ErrNotFound)
		if err != nil && there || there && r.Now().Sub(last.Created) < reportLife {
			return err
		}
		text, err := r.credentials(a)
		if err != nil {
			return err
		}
		out.State, out.Description = types.ReportStateTypeStarted, new("No report exists. Starting a new report generation task")
		report := credentialReport{r.Now().UTC(), text}
		if there {
			return putItem(r, i, report)
		}
		return addItem(r, Item{Account: a.ID, Kind: ReportItem, ID: string(a.ID)}, report)
	})
}

// GetCredentialReport shows the report, if it is not older than four hours.
func (v *View) GetCredentialReport(ctx context.Context, _ *iam.GetCredentialReportInput) (*iam.GetCredentialReportOutput, error) {
	out := &iam.GetCredentialReportOutput{}
	return out, v.read(ctx, func(r *request) error {
		a, err := r.own("iam:GetCredentialReport")
		if err != nil {
			return err
		}
		report, _, err := findItem[credentialReport](r, a.ID, ReportItem, string(a.ID))
		switch {
		case errors.Is(err, cloud.ErrNotFound):
			return &types.CredentialReportNotPresentException{Message: new("")}
		case err == nil && r.Now().Sub(report.Created) >= reportLife:
			return &types.CredentialReportExpiredException{Message: new("")}
		}
		out.Content, out.GeneratedTime, out.ReportFormat = []byte(report.CSV), &report.Created, types.ReportFormatTypeTextCsv
		return err
	})
}

// credentials is the report of the root user and every user.
func (r *request) credentials(a Account) (string, error) {
	policy, err := passwordPolicyOf(r, a.ID)
	if err != nil {
		return "", err
	}
	users, err := r.Entities(a.ID, User, "/", "", quota[User].max)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	row := []string{"<root_account>", a.ID.Root().String(), reportTime(a.Created), notSupported, notSupported, notSupported, notSupported}
	rest, err := r.factors(string(a.ID))
	err = errors.Join(err, w.Write(reportColumns), w.Write(append(row, rest...)))
	for _, e := range users {
		row, rerr := r.passwordRow(e, policy)
		rest, ferr := r.factors(e.ID)
		err = errors.Join(err, rerr, ferr, w.Write(append(append([]string{e.Name, e.ARN(), reportTime(e.Created)}, row...), rest...)))
	}
	w.Flush()
	if err = errors.Join(err, w.Error()); err != nil {
		return "", fmt.Errorf("report credentials of account %s: %w", a.ID, err)
	}
	return b.String(), nil
}

// reportTime is a time as reports have it.
func reportTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }

// passwordRow is what a report says of a user's password.
func (r *request) passwordRow(e Entity, p *passwordPolicy) ([]string, error) {
	l, i, _, err := readLogin(r, e)
	if err != nil || i.Body == nil {
		return []string{"false", notApplicable, notApplicable, notApplicable}, err
	}
	used, next := noInformation, notApplicable
	at, err := r.passwordLastUsed(r, e.ID)
	if at != nil {
		used = reportTime(*at)
	}
	if p != nil && p.MaxAge > 0 {
		next = reportTime(l.Changed.AddDate(0, 0, p.MaxAge))
	}
	return []string{"true", used, reportTime(l.Changed), next}, err
}

// factors is what a report says of an owner's second factor, access keys and
// signing certificates.
func (r *request) factors(owner string) ([]string, error) {
	mfa, err := hasDevice(r, owner)
	keys, kerr := r.Keys(owner)
	if err := errors.Join(err, kerr); err != nil {
		return nil, err
	}
	slices.SortFunc(keys, func(a, b AccessKey) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	row := []string{strconv.FormatBool(mfa)}
	for n := range maxKeys {
		if n >= len(keys) {
			row = append(row, "false", notApplicable, notApplicable, notApplicable, notApplicable)
			continue
		}
		used, err := r.keyLastUsed(r, keys[n].ID)
		if err != nil {
			return nil, err
		}
		at := notApplicable
		if used.LastUsedDate != nil {
			at = reportTime(*used.LastUsedDate)
		}
		row = append(row, strconv.FormatBool(keys[n].Active), reportTime(keys[n].Created), at, *used.Region, *used.ServiceName)
	}
	certs, err := r.certificateColumns(owner)
	return append(row, certs...), err
}

// certificateColumns is what a report says of signing certificates, oldest first.
func (r *request) certificateColumns(owner string) ([]string, error) {
	items, err := r.ItemsOf(owner, SigningItem)
	if err != nil {
		return nil, err
	}
	var certs []signingCert
	err = eachBody(items, func(_ Item, c signingCert) { certs = append(certs, c) })
	slices.SortFunc(certs, func(a, b signingCert) int { return a.Uploaded.Compare(b.Uploaded) })
	var row []string
	for n := range signingCerts.max {
		if n >= len(certs) {
			row = append(row, "false", notApplicable)
			continue
		}
		row = append(row, strconv.FormatBool(certs[n].Active), reportTime(certs[n].Uploaded))
	}
	return row, err
}
