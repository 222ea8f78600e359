// Package report puts findings, plans and conversions into words and into JSON.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"unroot/internal/check"
	"unroot/internal/finding"
)

// Version is the version of every JSON document that this package writes. Fields may be added
// within a version; none changes its meaning or goes.
const Version = 1

// Image is what a report says about one platform's image.
type Image struct {
	Ref      string            `json:"image"`
	Platform string            `json:"platform"`
	Digest   string            `json:"digest"`
	Findings []finding.Finding `json:"findings"`
	Answers  []check.Answer    `json:"answers"`
}

// Findings is the document of `unroot check --json`.
type Findings struct {
	Version int     `json:"version"`
	Images  []Image `json:"images"`
}

// JSON writes a document, indented, with a final newline.
func JSON(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// FindingsText writes the findings of one image for a person, worst first, and the closing lines.
func FindingsText(w io.Writer, img Image) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n", img.Ref, img.Platform)
	for _, f := range img.Findings {
		fmt.Fprintf(&b, "\n%-8s  %s  %s\n", f.Severity, f.ID, f.Location)
		fmt.Fprintf(&b, "          %s", f.Reason)
		if f.Detail != "" {
			fmt.Fprintf(&b, ": %s", f.Detail)
		}
		b.WriteByte('\n')
		if f.Hint != "" {
			fmt.Fprintf(&b, "          → %s\n", f.Hint)
		}
		if len(f.Twins) > 0 {
			fmt.Fprintf(&b, "          elsewhere: %s\n", strings.Join(f.Twins, ", "))
		}
	}
	if len(img.Findings) == 0 {
		b.WriteString("\nno findings\n")
	}
	b.WriteByte('\n')
	for _, a := range img.Answers {
		fmt.Fprintf(&b, "%s\n", a)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
