package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// check applies what IAM checks of a document whose syntax is right. IAM names
// one mistake only, so the order is part of its answer.
func (k Kind) check(d draft) error {
	if k == ManagedKind && d.version != version2012 {
		return &Malformed{Sentence: "Policy document must be version 2012-10-17 or greater."}
	}
	if k == ServiceControlKind || k == ResourceControlKind {
		if err := k.checkControl(d); err != nil {
			return err
		}
	}
	if err := k.each(d, checkLegacy, checkPrincipal, checkSid); err != nil {
		return err
	}
	if err := k.checkSidsDiffer(d); err != nil {
		return err
	}
	return k.each(d, checkActionThere, checkResourceThere, checkResources, checkActions)
}

// each takes the steps in turn, each for all statements.
func (k Kind) each(d draft, steps ...func(Kind, *draftStatement) error) error {
	for _, step := range steps {
		for i := range d.statements {
			if err := step(k, &d.statements[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkLegacy is what IAM's older parser refuses, whose mistakes it never names.
func checkLegacy(k Kind, s *draftStatement) error {
	if s.effect != "Allow" && s.effect != "Deny" {
		return malformed(legacyParsing, "Effect is %q", s.effect)
	}
	for _, c := range s.conditions {
		op, _ := parseOperator(c.operator)
		if op.operator.compare != date {
			continue
		}
		for _, v := range c.values {
			if _, ok := parseDate(v); !ok {
				return malformed(legacyParsing, "%q is not a date", v)
			}
		}
	}
	if checkResources(k, s) != nil {
		return nil //nolint:nilerr // a mistake that has a name of its own
	}
	for _, r := range s.resources {
		f := strings.Split(r, ":")
		if len(f) > 2 && f[2] == "" || len(f) < 6 && strings.Contains(r, "::") {
			return malformed(legacyParsing, "the resource %q lacks fields", r)
		}
	}
	return nil
}

func checkPrincipal(k Kind, s *draftStatement) error {
	switch k {
	case InlineKind, ManagedKind, ServiceControlKind:
		if s.principal != nil {
			return &Malformed{Sentence: "Policy document should not specify a principal."}
		}
	case ResourceKind, TrustKind:
		if s.principal == nil {
			return &Malformed{Sentence: "Missing required field Principal"}
		}
		if k == TrustKind && s.principal.kind == 's' && s.principal.text == "*" {
			return &Malformed{Sentence: `AssumeRolepolicy contained an invalid principal: "STAR":"*".`}
		}
	}
	return nil
}

// unfit is what Organizations says to all mistakes.
const unfit = "The provided policy document does not meet the requirements of the specified policy type."

// checkControl refuses what the policies of organizations cannot hold.
func (k Kind) checkControl(d draft) error {
	switch {
	case d.version != version2012:
		return malformed(unfit, "Version is not 2012-10-17")
	case d.id != "":
		return malformed(unfit, "it has an Id")
	case k == ServiceControlKind:
		return nil
	}
	for i := range d.statements {
		s := &d.statements[i]
		switch {
		case s.effect != "Deny":
			return malformed(unfit, "Effect is %q, and not Deny", s.effect)
		case s.notPrincipal || s.principal == nil || s.principal.kind != 's' || s.principal.text != "*":
			return malformed(unfit, "Principal is not \"*\"")
		case s.notAction:
			return malformed(unfit, "it has a NotAction")
		}
		for _, a := range s.actions {
			if a == "*" || strings.HasPrefix(a, "*:") {
				return malformed(unfit, "Action %q names no service", a)
			}
		}
	}
	return nil
}

var alphanumeric = regexp.MustCompile(`^[0-9A-Za-z]*$`)

func checkSid(k Kind, s *draftStatement) error {
	// Resource policies may have sentences for Sids, as KMS's own do.
	if (k == InlineKind || k == ManagedKind || k == TrustKind) && !alphanumeric.MatchString(s.sid) {
		return &Malformed{
			Sentence: "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
			Detail:   s.sid,
		}
	}
	return nil
}

func repeatedSid(sid string) error {
	return &Malformed{Sentence: "Statement IDs (SID) in a single policy must be unique.", Detail: sid}
}

// checkSidsDiffer lets resource policies have a Sid twice: those of KMS's own keys
// do.
func (k Kind) checkSidsDiffer(d draft) error {
	if k == ResourceKind || k == AnyKind {
		return nil
	}
	seen := map[string]bool{}
	for _, s := range d.statements {
		if s.sid != "" && seen[s.sid] {
			return repeatedSid(s.sid)
		}
		seen[s.sid] = true
	}
	return nil
}

func checkActionThere(_ Kind, s *draftStatement) error {
	if len(s.actions) == 0 {
		return &Malformed{Sentence: "Policy statement must contain actions."}
	}
	return nil
}

func checkResourceThere(k Kind, s *draftStatement) error {
	switch {
	case k == TrustKind && s.resource != nil:
		return &Malformed{Sentence: "Has prohibited field Resource"}
	case k == TrustKind || k == AnyKind && s.resource == nil:
		return nil
	case len(s.resources) == 0:
		return &Malformed{Sentence: "Policy statement must contain resources."}
	}
	return nil
}

func checkResources(_ Kind, s *draftStatement) error {
	for _, r := range s.resources {
		if strings.Trim(r, "*") == "" && r != "" {
			continue
		}
		if err := checkResource(r); err != nil {
			return err
		}
	}
	return nil
}

func checkResource(text string) error {
	f := strings.SplitN(text, ":", 6)
	if len(f) == 1 || f[0] != "arn" && f[1] == "aws" {
		return &Malformed{Sentence: fmt.Sprintf(`Resource %s must be in ARN format or "*".`, text)}
	}
	if f[1] != "aws" && f[1] != "*" {
		full := append(f[1:], slices.Repeat([]string{"*"}, 6-len(f))...)
		return &Malformed{Sentence: fmt.Sprintf(`Partition "%s" is not valid for resource "arn:%s".`, f[1], strings.Join(full, ":"))}
	}
	if len(f) == 2 || strings.ContainsAny(f[2], "*?") {
		return &Malformed{Sentence: "Resource vendor must be fully qualified and cannot contain regexes."}
	}
	regional := len(f) > 3 && f[3] != ""
	switch {
	case f[2] == "iam" && regional:
		return &Malformed{Sentence: fmt.Sprintf("IAM resource %s cannot contain region information.", text)}
	case f[2] == "s3" && regional:
		return &Malformed{Sentence: fmt.Sprintf("Resource %s can not contain region information.", text)}
	case f[2] == "iam" && len(f) == 6 && !isIAMPath(f[5]):
		return &Malformed{Sentence: `IAM resource path must either be "*" or start with ` + strings.Join(iamPaths, ", ") + "."}
	}
	return nil
}

// iamPaths are the beginnings of IAM's own resources.
var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/",
	"policy/", "sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
}

func isIAMPath(path string) bool {
	kind, _, _ := strings.Cut(path, "/")
	return strings.ContainsAny(kind, "*?") || slices.Contains(iamPaths, kind+"/") || path == "root"
}

var vendor = regexp.MustCompile(`^[a-zA-Z0-9\-.]+$`)

func checkActions(k Kind, s *draftStatement) error {
	for _, a := range s.actions {
		name, _, found := strings.Cut(a, ":")
		switch {
		case !found && a != "*":
			return &Malformed{Sentence: "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.", Detail: a}
		case strings.Count(a, ":") > 1:
			return &Malformed{Sentence: "Actions/Condition can contain only one colon.", Detail: a}
		case name != "*" && !vendor.MatchString(name):
			return &Malformed{Sentence: fmt.Sprintf("Vendor %s is not valid", name)}
		case k == TrustKind && !EqualFold(name, "sts"):
			return &Malformed{Sentence: "AssumeRole policy may only specify STS AssumeRole actions.", Detail: a}
		}
	}
	return nil
}
