package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// item is the caller's item with an id, if the caller may do action to arn. The
// error is missing where there is none.
func (r *request) item(action string, k ItemKind, id, arn string, missing error, add more) (Item, error) {
	i, err := r.Item(r.caller.Account, k, id)
	gone := errors.Is(err, cloud.ErrNotFound)
	if err != nil && !gone {
		return Item{}, err
	}
	on := resource{arn: arn, context: policy.Context{}}
	if !gone {
		has, err := body[struct{ Tags []Tag }](i)
		if err != nil {
			return Item{}, err
		}
		on.context = tagged(has.Tags)
	}
	if named, err := cloud.ParseARN(arn); err == nil {
		on.owner = named.Account
	}
	if add != nil {
		on.context = add(on.context)
	}
	if err := r.authorize(action, on); err != nil {
		return Item{}, err
	}
	if gone {
		return Item{}, missing
	}
	return i, nil
}

// retag keeps the item with the tags that change makes of those it has.
func (r *request) retag(i Item, change func([]Tag) ([]Tag, error)) error {
	has, err := body[struct{ Tags []Tag }](i)
	if err != nil {
		return err
	}
	tags, err := change(has.Tags)
	if err != nil {
		return err
	}
	return amend(r, i, "Tags", tags)
}

// A finder finds an item that the caller may do something to.
type finder func(*request, more) (Item, error)

// by makes a finder of what finds the items of a kind, and what they are, by name or
// ARN for an action.
func by[T any](find func(*request, string, string, more) (T, Item, error), action, name string) finder {
	return func(r *request, add more) (Item, error) {
		_, i, err := find(r, action, name, add)
		return i, err
	}
}

// tagItem adds tags to an item.
func (v *View) tagItem(ctx context.Context, in []types.Tag, find finder) error {
	tags, err := newTags(in)
	if err != nil {
		return err
	}
	return v.change(ctx, func(r *request) error {
		i, err := find(r, func(c policy.Context) policy.Context { return asked(c, tags) })
		if err != nil {
			return err
		}
		return r.retag(i, func(old []Tag) ([]Tag, error) { return merge(old, tags) })
	})
}

// untagItem removes tags from an item.
func (v *View) untagItem(ctx context.Context, keys []string, find finder) error {
	return v.change(ctx, func(r *request) error {
		i, err := find(r, func(c policy.Context) policy.Context { return askedKeys(c, keys) })
		if err != nil {
			return err
		}
		return r.retag(i, func(old []Tag) ([]Tag, error) { return without(old, keys), nil })
	})
}

// tagsOfItem is a page of an item's tags.
func (v *View) tagsOfItem(ctx context.Context, marker *string, items *int32, find finder) (tags []types.Tag, next *string, err error) {
	p, err := newPage(marker, items)
	if err != nil {
		return nil, nil, err
	}
	err = v.read(ctx, func(r *request) error {
		i, err := find(r, nil)
		if err != nil {
			return err
		}
		has, err := body[struct{ Tags []Tag }](i)
		var some []Tag
		some, next = cut(p, has.Tags, func(t Tag) string { return strings.ToLower(t.Key) })
		tags = append([]types.Tag{}, awsTags(some)...)
		return err
	})
	return tags, next, err
}

// deleteItem removes an item.
func (v *View) deleteItem(ctx context.Context, find finder) error {
	return v.change(ctx, func(r *request) error {
		i, err := find(r, nil)
		if err != nil {
			return err
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}

// TagOpenIDConnectProvider adds tags to a provider, or replaces their values.
func (v *View) TagOpenIDConnectProvider(ctx context.Context, in *iam.TagOpenIDConnectProviderInput) (*iam.TagOpenIDConnectProviderOutput, error) {
	return &iam.TagOpenIDConnectProviderOutput{}, v.tagItem(ctx, in.Tags, by((*request).oidc, "iam:TagOpenIDConnectProvider", *in.OpenIDConnectProviderArn))
}

// UntagOpenIDConnectProvider removes tags from a provider.
func (v *View) UntagOpenIDConnectProvider(ctx context.Context, in *iam.UntagOpenIDConnectProviderInput) (*iam.UntagOpenIDConnectProviderOutput, error) {
	return &iam.UntagOpenIDConnectProviderOutput{}, v.untagItem(ctx, in.TagKeys, by((*request).oidc, "iam:UntagOpenIDConnectProvider", *in.OpenIDConnectProviderArn))
}

// ListOpenIDConnectProviderTags lists the tags of a provider by key.
func (v *View) ListOpenIDConnectProviderTags(ctx context.Context, in *iam.ListOpenIDConnectProviderTagsInput) (*iam.ListOpenIDConnectProviderTagsOutput, error) {
	tags, next, err := v.tagsOfItem(ctx, in.Marker, in.MaxItems, by((*request).oidc, "iam:ListOpenIDConnectProviderTags", *in.OpenIDConnectProviderArn))
	return &iam.ListOpenIDConnectProviderTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}

// TagSAMLProvider adds tags to a provider, or replaces their values.
func (v *View) TagSAMLProvider(ctx context.Context, in *iam.TagSAMLProviderInput) (*iam.TagSAMLProviderOutput, error) {
	return &iam.TagSAMLProviderOutput{}, v.tagItem(ctx, in.Tags, by((*request).saml, "iam:TagSAMLProvider", *in.SAMLProviderArn))
}

// UntagSAMLProvider removes tags from a provider.
func (v *View) UntagSAMLProvider(ctx context.Context, in *iam.UntagSAMLProviderInput) (*iam.UntagSAMLProviderOutput, error) {
	return &iam.UntagSAMLProviderOutput{}, v.untagItem(ctx, in.TagKeys, by((*request).saml, "iam:UntagSAMLProvider", *in.SAMLProviderArn))
}

// ListSAMLProviderTags lists the tags of a provider by key.
func (v *View) ListSAMLProviderTags(ctx context.Context, in *iam.ListSAMLProviderTagsInput) (*iam.ListSAMLProviderTagsOutput, error) {
	tags, next, err := v.tagsOfItem(ctx, in.Marker, in.MaxItems, by((*request).saml, "iam:ListSAMLProviderTags", *in.SAMLProviderArn))
	return &iam.ListSAMLProviderTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}

// TagInstanceProfile adds tags to an instance profile, or replaces their values.
func (v *View) TagInstanceProfile(ctx context.Context, in *iam.TagInstanceProfileInput) (*iam.TagInstanceProfileOutput, error) {
	return &iam.TagInstanceProfileOutput{}, v.tagItem(ctx, in.Tags, by((*request).profile, "iam:TagInstanceProfile", *in.InstanceProfileName))
}

// UntagInstanceProfile removes tags from an instance profile.
func (v *View) UntagInstanceProfile(ctx context.Context, in *iam.UntagInstanceProfileInput) (*iam.UntagInstanceProfileOutput, error) {
	return &iam.UntagInstanceProfileOutput{}, v.untagItem(ctx, in.TagKeys, by((*request).profile, "iam:UntagInstanceProfile", *in.InstanceProfileName))
}

// ListInstanceProfileTags lists the tags of an instance profile by key.
func (v *View) ListInstanceProfileTags(ctx context.Context, in *iam.ListInstanceProfileTagsInput) (*iam.ListInstanceProfileTagsOutput, error) {
	tags, next, err := v.tagsOfItem(ctx, in.Marker, in.MaxItems, by((*request).profile, "iam:ListInstanceProfileTags", *in.InstanceProfileName))
	return &iam.ListInstanceProfileTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}

// TagServerCertificate adds tags to a certificate, or replaces their values.
func (v *View) TagServerCertificate(ctx context.Context, in *iam.TagServerCertificateInput) (*iam.TagServerCertificateOutput, error) {
	return &iam.TagServerCertificateOutput{}, v.tagItem(ctx, in.Tags, by((*request).serverCert, "iam:TagServerCertificate", *in.ServerCertificateName))
}

// UntagServerCertificate removes tags from a certificate.
func (v *View) UntagServerCertificate(ctx context.Context, in *iam.UntagServerCertificateInput) (*iam.UntagServerCertificateOutput, error) {
	return &iam.UntagServerCertificateOutput{}, v.untagItem(ctx, in.TagKeys, by((*request).serverCert, "iam:UntagServerCertificate", *in.ServerCertificateName))
}

// ListServerCertificateTags lists the tags of a certificate by key.
func (v *View) ListServerCertificateTags(ctx context.Context, in *iam.ListServerCertificateTagsInput) (*iam.ListServerCertificateTagsOutput, error) {
	tags, next, err := v.tagsOfItem(ctx, in.Marker, in.MaxItems, by((*request).serverCert, "iam:ListServerCertificateTags", *in.ServerCertificateName))
	return &iam.ListServerCertificateTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}

// TagMFADevice adds tags to a device, or replaces their values.
func (v *View) TagMFADevice(ctx context.Context, in *iam.TagMFADeviceInput) (*iam.TagMFADeviceOutput, error) {
	return &iam.TagMFADeviceOutput{}, v.tagItem(ctx, in.Tags, by((*request).device, "iam:TagMFADevice", *in.SerialNumber))
}

// UntagMFADevice removes tags from a device.
func (v *View) UntagMFADevice(ctx context.Context, in *iam.UntagMFADeviceInput) (*iam.UntagMFADeviceOutput, error) {
	return &iam.UntagMFADeviceOutput{}, v.untagItem(ctx, in.TagKeys, by((*request).device, "iam:UntagMFADevice", *in.SerialNumber))
}

// ListMFADeviceTags lists the tags of a device by key.
func (v *View) ListMFADeviceTags(ctx context.Context, in *iam.ListMFADeviceTagsInput) (*iam.ListMFADeviceTagsOutput, error) {
	tags, next, err := v.tagsOfItem(ctx, in.Marker, in.MaxItems, by((*request).device, "iam:ListMFADeviceTags", *in.SerialNumber))
	return &iam.ListMFADeviceTagsOutput{Tags: tags, Marker: next, IsTruncated: next != nil}, err
}
