package keys_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func (p *person) updateAlias(name string, key *string) error {
	_, err := p.UpdateAlias(p.w.t.Context(), &kms.UpdateAliasInput{AliasName: &name, TargetKeyId: key})
	return err
}

func (p *person) deleteAlias(name string) error {
	_, err := p.DeleteAlias(p.w.t.Context(), &kms.DeleteAliasInput{AliasName: &name})
	return err
}

func (p *person) aliases(in *kms.ListAliasesInput) []string {
	p.w.t.Helper()
	var names []string
	for _, a := range must(p.ListAliases(p.w.t.Context(), in))(p.w.t).Aliases {
		names = append(names, *a.AliasName)
	}
	return names
}

func TestAlias(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	bob := w.person(abroad, "user/bob", allow("kms:*"))
	one, two, theirs := ann.key(), ann.key(), bob.key(delegating(home, "kms:*"))
	arn := func(p *person) string {
		return *must(p.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/app/main_1-x")}))(t).KeyMetadata.Arn
	}

	ann.may("create", ann.alias("alias/app/main_1-x", one))
	if got := arn(ann); got != *one {
		t.Errorf("the alias stands for %s", got)
	}
	bob.mayNot("reach it by its name", "NotFoundException: Alias arn:aws:kms:eu-west-1:444455556666:alias/app/main_1-x is not found.", bob.describe(new("alias/app/main_1-x")))
	ann.mayNot("create it twice", "AlreadyExistsException: An alias with the name arn:aws:kms:eu-west-1:111122223333:alias/app/main_1-x already exists", ann.alias("alias/app/main_1-x", two))
	w.wait(time.Minute)
	ann.may("move", ann.updateAlias("alias/app/main_1-x", two))
	if got := arn(ann); got != *two {
		t.Errorf("moved, the alias stands for %s", got)
	}
	e := must(ann.ListAliases(t.Context(), &kms.ListAliasesInput{KeyId: two}))(t).Aliases
	if len(e) != 1 || *e[0].AliasArn != "arn:aws:kms:eu-west-1:111122223333:alias/app/main_1-x" || e[0].LastUpdatedDate.Sub(*e[0].CreationDate) != time.Minute || !strings.HasSuffix(*two, *e[0].TargetKeyId) {
		t.Errorf("listed: %+v", e)
	}
	if got := ann.aliases(&kms.ListAliasesInput{KeyId: one}); len(got) != 0 {
		t.Errorf("the key it left has %v", got)
	}
	ann.mayNot("move what is not there", "NotFoundException: Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found.", ann.updateAlias("alias/none", one))
	ann.may("delete", ann.deleteAlias("alias/app/main_1-x"))
	ann.mayNot("use it then", "NotFoundException", ann.describe(new("alias/app/main_1-x")))
	ann.mayNot("delete it twice", "NotFoundException", ann.deleteAlias("alias/app/main_1-x"))

	ann.mayNot("alias another account's key", "AccessDeniedException", ann.alias("alias/theirs", theirs))
	ann.mayNot("leave out the prefix", `ValidationException: Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`, ann.alias("x", one))
	ann.mayNot("use strange characters", "ValidationException: alias/a b contains invalid characters for an alias", ann.alias("alias/a b", one))
	ann.mayNot("take AWS's name", "NotAuthorizedException", ann.alias("alias/aws/mine", one))
	ann.mayNot("alias an alias", "ValidationException: Aliases must refer to keys. Not aliases", ann.alias("alias/y", new("alias/x")))
}

// The alias and each key that it stands or stood for must allow it.
func TestAliasPermissions(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	one, two := ann.key(), ann.key()
	on := func(arns ...string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":["` + strings.Join(arns, `","`) + `"]}}`
	}
	const alias = "arn:aws:kms:eu-west-1:111122223333:alias/x"
	eve := w.person(home, "user/eve", on(*one))
	eve.mayNot("create", "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:CreateAlias on resource: "+alias+" because no identity-based policy allows the kms:CreateAlias action", eve.alias("alias/x", one))
	w.setPolicies(eve.caller.ARN, on(alias))
	eve.mayNot("create", "AccessDeniedException: User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kms:CreateAlias on resource: "+*one+" because no identity-based policy allows the kms:CreateAlias action", eve.alias("alias/x", one))
	w.setPolicies(eve.caller.ARN, on(alias, *one))
	eve.may("create", eve.alias("alias/x", one))
	eve.mayNot("move", "AccessDeniedException", eve.updateAlias("alias/x", two))
	w.setPolicies(eve.caller.ARN, on(alias, *two))
	eve.mayNot("move", "AccessDeniedException", eve.updateAlias("alias/x", two))
	eve.mayNot("delete", "AccessDeniedException", eve.deleteAlias("alias/x"))
	w.setPolicies(eve.caller.ARN, on(alias, *one, *two))
	eve.may("move", eve.updateAlias("alias/x", two))
	eve.may("delete", eve.deleteAlias("alias/x"))
}

func TestAliasesHaveALimitAndPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key, other := ann.key(), ann.key()
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("alias/a%02d", i))
		ann.may("create", ann.alias(want[i], key))
	}
	ann.mayNot("create one more", "LimitExceededException", ann.alias("alias/b", key))
	ann.may("create it elsewhere", ann.alias("alias/b", other))
	ann.mayNot("move it", "LimitExceededException", ann.updateAlias("alias/b", key))
	ann.may("move one to where it is", ann.updateAlias("alias/a00", key))

	var got []string
	for p := kms.NewListAliasesPaginator(pager{ann}, &kms.ListAliasesInput{KeyId: key, Limit: new(int32(20))}); p.HasMorePages(); {
		for _, a := range must(p.NextPage(t.Context()))(t).Aliases {
			got = append(got, *a.AliasName)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
	_, err := ann.ListKeys(t.Context(), &kms.ListKeysInput{Marker: must(ann.ListAliases(t.Context(), &kms.ListAliasesInput{}))(t).NextMarker})
	ann.mayNot("use the marker of another list", "InvalidMarkerException", err)
}

func TestListKeysPages(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	w.person(abroad, "user/bob", allow("kms:*")).key()
	var got, want []string
	for range 5 {
		want = append(want, *ann.key())
	}
	slices.Sort(want)
	for p := kms.NewListKeysPaginator(pager{ann}, &kms.ListKeysInput{Limit: new(int32(2))}); p.HasMorePages(); {
		for _, k := range must(p.NextPage(t.Context()))(t).Keys {
			got = append(got, *k.KeyArn)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func TestTags(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx := t.Context()
	tags := func(pairs ...string) (out []types.Tag) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, types.Tag{TagKey: &pairs[i], TagValue: &pairs[i+1]})
		}
		return out
	}
	key := must(ann.CreateKey(ctx, &kms.CreateKeyInput{Tags: tags("b", "1", "a", "2")}))(t).KeyMetadata.KeyId
	tag := func(pairs ...string) error {
		_, err := ann.TagResource(ctx, &kms.TagResourceInput{KeyId: key, Tags: tags(pairs...)})
		return err
	}
	ann.may("change and add", tag("a", "3", "c", "4"))
	ann.mayNot("say a key twice", "TagException: Duplicate tag keys", tag("a", "1", "a", "2"))
	ann.mayNot("take AWS's keys", "TagException: Tags beginning with aws: are reserved", tag("aws:x", "1"))
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprint(i), "")
	}
	ann.mayNot("have many", "TagException: Too many tags", tag(many...))
	must(ann.UntagResource(ctx, &kms.UntagResourceInput{KeyId: key, TagKeys: []string{"b", "none"}}))(t)
	var got []string
	in := &kms.ListResourceTagsInput{KeyId: key, Limit: new(int32(1))}
	for {
		out := must(ann.ListResourceTags(ctx, in))(t)
		for _, e := range out.Tags {
			got = append(got, *e.TagKey+"="+*e.TagValue)
		}
		if in.Marker = out.NextMarker; !out.Truncated {
			break
		}
	}
	if !slices.Equal(got, []string{"a=3", "c=4"}) {
		t.Errorf("tags: %v", got)
	}
	sue := w.person(home, "user/sue", allow("kms:CreateKey"))
	_, err := sue.CreateKey(ctx, &kms.CreateKeyInput{Tags: tags("a", "1")})
	sue.mayNot("tag a new key", "AccessDeniedException", err)
}

// A pager is a person as the SDK's paginators want a client.
type pager struct{ *person }

func (p pager) ListAliases(ctx context.Context, in *kms.ListAliasesInput, _ ...func(*kms.Options)) (*kms.ListAliasesOutput, error) {
	return p.person.ListAliases(ctx, in)
}

func (p pager) ListKeys(ctx context.Context, in *kms.ListKeysInput, _ ...func(*kms.Options)) (*kms.ListKeysOutput, error) {
	return p.person.ListKeys(ctx, in)
}
