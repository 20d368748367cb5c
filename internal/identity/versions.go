package identity

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const maxVersions = 5

// versionID is the name of version number n.
func versionID(n int) string { return "v" + strconv.Itoa(n) }

// findVersion finds the version of p that is called id.
func findVersion(p ManagedPolicy, id string) (Version, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(id, "v"))
	if v, ok := p.version(n); ok && err == nil && versionID(n) == id {
		return v, nil
	}
	return Version{}, noSuchEntity("Policy %s version %s does not exist or is not attachable.", p.ARN(), id)
}

// policyVersion is version v of p in IAM's words, without its text.
func policyVersion(p ManagedPolicy, v Version) types.PolicyVersion {
	return types.PolicyVersion{VersionId: new(versionID(v.Number)), IsDefaultVersion: v.Number == p.Default, CreateDate: &v.Created}
}

// CreatePolicyVersion adds a text to a managed policy and may put it in force.
func (v *View) CreatePolicyVersion(ctx context.Context, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	out := &iam.CreatePolicyVersionOutput{}
	return out, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:CreatePolicyVersion", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		if err := r.checkManaged(*in.PolicyDocument); err != nil {
			return err
		}
		if len(p.Versions) >= maxVersions {
			return limitExceeded("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		p.Last++
		p.Updated = r.Now().UTC()
		added := Version{p.Last, *in.PolicyDocument, p.Updated}
		p.Versions = append(p.Versions, added)
		if in.SetAsDefault {
			p.Default = p.Last
		}
		out.PolicyVersion = new(policyVersion(p, added))
		return r.PutPolicy(p)
	})
}

// GetPolicyVersion shows a version with its text.
func (v *View) GetPolicyVersion(ctx context.Context, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	out := &iam.GetPolicyVersionOutput{}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("iam:GetPolicyVersion", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		version, err := findVersion(p, *in.VersionId)
		if err != nil {
			return err
		}
		out.PolicyVersion = new(policyVersion(p, version))
		out.PolicyVersion.Document = encoded(version.Document)
		return nil
	})
}

// ListPolicyVersions lists the versions of a managed policy, newest first.
func (v *View) ListPolicyVersions(ctx context.Context, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	page, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListPolicyVersionsOutput{Versions: []types.PolicyVersion{}}
	return out, v.read(ctx, func(r *request) error {
		p, err := r.policy("iam:ListPolicyVersions", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		slices.Reverse(p.Versions)
		some, next := cut(page, p.Versions, newestFirst)
		for _, version := range some {
			out.Versions = append(out.Versions, policyVersion(p, version))
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// newestFirst is a key that orders versions by falling number.
func newestFirst(v Version) string {
	const highest = 1 << 40
	return strconv.Itoa(highest - v.Number)
}

// SetDefaultPolicyVersion puts another version of a managed policy in force.
func (v *View) SetDefaultPolicyVersion(ctx context.Context, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	return &iam.SetDefaultPolicyVersionOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:SetDefaultPolicyVersion", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		version, err := findVersion(p, *in.VersionId)
		if err != nil {
			return err
		}
		p.Default, p.Updated = version.Number, r.Now().UTC()
		return r.PutPolicy(p)
	})
}

// DeletePolicyVersion removes a version that is not in force.
func (v *View) DeletePolicyVersion(ctx context.Context, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	return &iam.DeletePolicyVersionOutput{}, v.change(ctx, func(r *request) error {
		p, err := r.policy("iam:DeletePolicyVersion", *in.PolicyArn, nil)
		if err != nil {
			return err
		}
		version, err := findVersion(p, *in.VersionId)
		if err != nil {
			return err
		}
		if version.Number == p.Default {
			return deleteConflict("Cannot delete the default version of a policy.")
		}
		p.Versions = slices.DeleteFunc(p.Versions, func(v Version) bool { return v.Number == version.Number })
		return r.PutPolicy(p)
	})
}
