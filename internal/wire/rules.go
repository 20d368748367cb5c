package wire

import (
	"fmt"
	"strings"

	"github.com/aws/smithy-go"
)

// rules are how a service treats and words what is wrong with an input.
type rules struct {
	// loose says that enums and patterns are left to the operation.
	loose bool
	// blank says that a required string is missing if it is blank.
	blank bool
	// refuse words problems, of which there is at least one.
	refuse func([]problem) error
	// malformed words a query parameter whose value, or whose name, cannot be
	// read: the parameter "is not an integer".
	malformed func(key, value, is string) error
}

func invalid(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultClient}
}

// framework are the rules of the services that leave checking to AWS's common
// service framework, which reports every problem at once.
func framework(code string) rules {
	return rules{
		refuse: func(found []problem) error { return invalid(code, report(found)) },
		malformed: func(key, value, is string) error {
			return invalid("MalformedInput", fmt.Sprintf("The parameter %s %s.", key, is))
		},
	}
}

// report words problems in the framework's way.
func report(found []problem) string {
	out := make([]string, len(found))
	for i, b := range found {
		value := b.value
		if value != "" {
			value += " "
		}
		out[i] = "Value " + value + "at '" + b.path + "' failed to satisfy constraint: " + b.text
	}
	errors := "errors"
	if len(found) == 1 {
		errors = "error"
	}
	return fmt.Sprintf("%d validation %s detected: %s", len(found), errors, strings.Join(out, "; "))
}

// iamTexts are the patterns that IAM checks itself, after the framework, and
// what it says of them.
var iamTexts = map[string]string{
	`[\w+=,.@-]+`: "It must contain only alphanumeric characters and/or the following: +=,.@_-",
	`(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`: "It must begin and end with / and contain only alphanumeric characters and/or / characters.",
}

// iamRules are the framework's, but for the words about names and paths.
func iamRules() rules {
	r := framework("ValidationError")
	r.refuse = func(found []problem) error {
		var first, then []problem
		for _, b := range found {
			if b.kind == unlike && iamTexts[b.limits.pattern] != "" {
				then = append(then, b)
			} else {
				first = append(first, b)
			}
		}
		if first != nil {
			return invalid("ValidationError", report(first))
		}
		return invalid("ValidationError", "The specified value for "+then[0].path+" is invalid. "+iamTexts[then[0].limits.pattern])
	}
	return r
}

// rdsRules report the first problem, in RDS's own words.
func rdsRules() rules {
	return rules{
		loose: true,
		blank: true,
		refuse: func(found []problem) error {
			return invalid("InvalidParameterValue", rdsText(found[0]))
		},
		malformed: func(key, value, is string) error {
			if strings.Contains(is, "list") || strings.Contains(is, "map") {
				return invalid("MalformedInput", fmt.Sprintf("The parameter %s %s.", key, is))
			}
			return invalid("InvalidParameterValue", fmt.Sprintf("Invalid value %s for %s. The value %s.", value, key, is))
		},
	}
}

func rdsText(b problem) string {
	value := strings.Trim(b.value, "'")
	l := b.limits
	length := strings.Contains(b.text, "length")
	switch {
	case b.kind == missing:
		return "The parameter " + b.name + " must be provided and must not be blank."
	case (b.kind == tooLarge || b.kind == tooSmall) && !length && l.max == 0:
		return fmt.Sprintf("Invalid value %s for %s. Must be at least %d", value, b.name, l.min)
	case (b.kind == tooLarge || b.kind == tooSmall) && !length:
		return fmt.Sprintf("Invalid value %s for %s. Must be between %d and %d", value, b.name, l.min, l.max)
	case b.kind == tooLarge:
		return fmt.Sprintf("The parameter %s is not valid because it is longer than %d characters.", b.name, l.max)
	case b.kind == tooSmall:
		return fmt.Sprintf("The parameter %s is not valid because it is shorter than %d characters.", b.name, l.min)
	}
	return "The parameter " + b.name + " has an element that is not valid: " + b.text
}

// A reasoned error says in a word, too, what is wrong.
type reasoned struct {
	smithy.GenericAPIError
	Reason string
}

// organizationsRules report the first problem, and its reason.
func organizationsRules() rules {
	return rules{
		refuse: func(found []problem) error {
			reason, message := organizationsText(found[0])
			return &reasoned{smithy.GenericAPIError{Code: "InvalidInputException", Message: message, Fault: smithy.FaultClient}, reason}
		},
	}
}

func organizationsText(b problem) (reason, message string) {
	length := strings.Contains(b.text, "length")
	switch {
	case b.kind == missing:
		return "INPUT_REQUIRED", "You must include a value for the required parameter " + b.name + "."
	case b.kind == tooLarge && length:
		return "MAX_LENGTH_EXCEEDED", fmt.Sprintf("You provided a value for %s that is longer than %d characters.", b.name, b.limits.max)
	case b.kind == tooSmall && length:
		return "MIN_LENGTH_EXCEEDED", fmt.Sprintf("You provided a value for %s that is shorter than %d characters.", b.name, b.limits.min)
	case b.kind == tooLarge:
		return "MAX_VALUE_EXCEEDED", fmt.Sprintf("You provided a value for %s that is larger than %d.", b.name, b.limits.max)
	case b.kind == tooSmall:
		return "MIN_VALUE_EXCEEDED", fmt.Sprintf("You provided a value for %s that is smaller than %d.", b.name, b.limits.min)
	case b.kind == unlike:
		return "INVALID_PATTERN", "You provided a value that does not match the required pattern."
	case b.kind == element:
		return "INVALID_LIST_MEMBER", "You provided a list that contains at least one invalid value."
	case b.name == "Filter" || b.name == "Type" || b.name == "PolicyType":
		return "INVALID_ENUM_POLICY_TYPE", "You specified an invalid value."
	}
	return "INVALID_ENUM", "You specified an invalid value."
}
