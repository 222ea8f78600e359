package sample

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// BaseTag is the name under which the base image is known to the engine: the one that the
// Dockerfiles of the samples name, as those of a packager would.
const BaseTag = "debian:stable"

// BaseProgram makes the base image's tree from Debian's packages.
const BaseProgram = "mmdebstrap"

// noServices is what Debian's official images have: no package starts its service while it is
// installed (invoke-rc.d(8)).
const noServices = `printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d" && chmod +x "$1/usr/sbin/policy-rc.d"`

// noDownloads keeps what apt downloads out of the layers, as those images do. It is set only at the
// end: mmdebstrap itself installs from apt's downloads.
const noDownloads = `echo 'APT::Keep-Downloaded-Packages "false";' >"$1/etc/apt/apt.conf.d/90image"`

// noAptCache keeps what apt computes out of the layers.
var noAptCache = []string{`Dir::Cache::pkgcache ""`, `Dir::Cache::srcpkgcache ""`}

// baseCommand is the command line, without the name of the result, that makes the base's tar file.
func baseCommand() ([]string, error) {
	suite, err := machineSuite()
	if err != nil {
		return nil, err
	}
	args := []string{BaseProgram, "--quiet", "--variant=minbase", "--format=tar", "--customize-hook=" + noServices, "--customize-hook=" + noDownloads}
	for _, option := range noAptCache {
		args = append(args, "--aptopt="+option)
	}
	if proxy := aptProxy(); proxy != "" {
		args = append(args, fmt.Sprintf("--aptopt=Acquire::http::Proxy %q", proxy))
	}
	args = append(args, suite, "-")
	if sources := machineSources(); sources != "" {
		args = append(args, sources)
	}
	return args, nil
}

// machineSuite is the Debian release of this machine: its mirrors are known to answer.
func machineSuite() (string, error) {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	release := map[string]string{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		release[key] = strings.Trim(value, `"`)
	}
	if release["ID"] != "debian" || release["VERSION_CODENAME"] == "" {
		return "", fmt.Errorf("this machine runs %q, not a Debian release", release["PRETTY_NAME"])
	}
	return release["VERSION_CODENAME"], nil
}

// machineSources is the file with this machine's mirrors of Debian, in the form that mmdebstrap
// takes for MIRROR; empty where its own default will do.
func machineSources() string {
	for _, path := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "deb") {
			return path
		}
	}
	return ""
}

func aptProxy() string {
	out, err := exec.Command("apt-config", "shell", "P", "Acquire::http::Proxy").Output()
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(string(out)), "P="), "'")
}

// baseKey names the base: what it is made from, and the week of the packages that this machine knows
// of, since they get updates. A new week begins for the samples with `apt-get update`, not at midnight.
func baseKey(command []string) (string, error) {
	sources, err := os.ReadFile(machineSources())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	known, err := indexDate(aptLists)
	if err != nil {
		return "", err
	}
	year, week := known.ISOWeek()
	sum := sha256.Sum256(fmt.Appendf(nil, "%d-%d\n%q\n%s", year, week, command, sources))
	return fmt.Sprintf("%x", sum[:8]), nil
}

// aptLists is where apt keeps the indexes that it has fetched: apt.conf(5), Dir::State::lists.
const aptLists = "/var/lib/apt/lists"

// indexDate is the newest date that Debian's own indexes in the folder say of themselves: their field
// Date (in Debian's repository format: a date of RFC 1123). Where there are
// none, it is now: nothing says that an older sample has what one would get.
func indexDate(lists string) (time.Time, error) {
	paths, err := filepath.Glob(filepath.Join(lists, "*Release")) // InRelease too
	var newest time.Time
	for _, path := range paths {
		b, readErr := os.ReadFile(path)
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		if date, ok := debianDate(string(b)); ok && date.After(newest) {
			newest = date
		}
	}
	if newest.IsZero() {
		newest = time.Now()
	}
	return newest.UTC(), err
}

// debianDate reads the date of one index; those of others than Debian have their own pace.
func debianDate(release string) (date time.Time, ok bool) {
	debian := false
	for line := range strings.Lines(release) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Origin":
			debian = value == "Debian"
		case "Date":
			var err error
			date, err = time.Parse(time.RFC1123, value)
			ok = err == nil
		case "SHA256:", "MD5Sum:":
			return date, ok && debian
		}
	}
	return date, ok && debian
}

// base gives the tar file of the base image and its key.
func base(ctx context.Context) (path, key string, err error) {
	command, err := baseCommand()
	if err != nil {
		return "", "", fmt.Errorf("making the base image: %w", err)
	}
	if key, err = baseKey(command); err != nil {
		return "", "", fmt.Errorf("making the base image: %w", err)
	}
	path, err = cached("base-", key, func(part string) error { return bootstrap(ctx, command, part) })
	return path, key, err
}

// bootstrap runs the command with its output in a file.
func bootstrap(ctx context.Context, command []string, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	buffered := bufio.NewWriterSize(out, 1<<20)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout = buffered
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("making the base image: %w\n%s", err, errs.String())
	}
	return errors.Join(buffered.Flush(), out.Close())
}
