// Stands in for github.com/mndrix/tap-go, which Debian does not have, where bench/oci builds the validation suite.

// Package tap prints results in the Test Anything Protocol.
package tap

import (
	"encoding/json"
	"fmt"
	"strings"
)

type T struct {
	count *int
	todo  bool
}

func New() *T { return &T{count: new(int)} }

func (t *T) Header(planned int) {
	fmt.Println("TAP version 13")
	if planned > 0 {
		fmt.Printf("1..%d\n", planned)
	}
}

func (t *T) AutoPlan() { fmt.Printf("1..%d\n", *t.count) }

func (t *T) Ok(passed bool, description string) {
	*t.count++
	result, todo := "ok", ""
	if !passed {
		result = "not ok"
	}
	if t.todo {
		todo = " # TODO"
	}
	fmt.Printf("%s %d -%s %s\n", result, *t.count, todo, description)
}

func (t *T) Pass(description string) { t.Ok(true, description) }
func (t *T) Fail(description string) { t.Ok(false, description) }
func (t *T) Todo() *T                { return &T{t.count, true} }

func (t *T) Skip(count int, description string) {
	for i := 0; i < count; i++ {
		*t.count++
		fmt.Printf("ok %d # SKIP %s\n", *t.count, description)
	}
}

func (t *T) Diagnostic(message string) {
	fmt.Println("# " + strings.ReplaceAll(message, "\n", "\n# "))
}

func (t *T) Diagnosticf(format string, a ...interface{}) { t.Diagnostic(fmt.Sprintf(format, a...)) }

func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err == nil {
		fmt.Printf("  ---\n  %s\n  ...\n", text)
	}
	return err
}
