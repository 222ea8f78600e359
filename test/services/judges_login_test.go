package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sessions logs in by a password or a key, as each of the users, and runs a command there.
func sessions(options func(p place, dir string) ([]string, error), users ...string) judge {
	return func(ctx context.Context, p place) error {
		return temporary(func(dir string) error {
			how, err := options(p, dir)
			if err != nil {
				return err
			}
			line := append([]string{"ssh", "-F", "none", "-p", strconv.Itoa(p.port(22)), "-o", "BatchMode=yes",
				"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5"}, how...)
			for _, user := range users {
				if err := p.says(ctx, []string{user + "\n"}, "", append(line, user+"@127.0.0.1", "id", "-un")...); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// withoutPassword is for accounts that have none.
func withoutPassword(place, string) ([]string, error) {
	return []string{"-o", "PreferredAuthentications=none"}, nil
}

// withKey takes the key that the packager left in a home.
func withKey(path string) func(p place, dir string) ([]string, error) {
	return func(p place, dir string) ([]string, error) {
		key, err := p.file(path)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "key")
		return []string{"-i", file, "-o", "IdentitiesOnly=yes", "-o", "PreferredAuthentications=publickey"}, os.WriteFile(file, []byte(key), 0o600)
	}
}

// stamped waits for what jobs write into files: a text, or any at all where it is empty, written since
// the judge first asked.
func stamped(within time.Duration, files map[string]string) judge {
	return func(ctx context.Context, p place) error {
		end := time.Now().Add(within)
		for {
			err := writtenIn(p, files)
			if err == nil || time.Now().After(end) || ctx.Err() != nil || !p.alive() {
				return err
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

func writtenIn(p place, files map[string]string) error {
	var errs error
	for path, want := range files {
		said, err := p.file(path)
		if err == nil && (said == "" || !strings.Contains(said, want)) {
			err = fmt.Errorf("%s has %q, want %q", path, said, want)
		}
		errs = errors.Join(errs, err)
	}
	return errs
}

// ftpAnswers wants the greeting, the features and an answer to a login, whichever it is.
func ftpAnswers(_ context.Context, p place) error {
	return p.dialogue(21, [2]string{"", "220 "}, [2]string{"FEAT\r\n", "211 End"}, [2]string{"USER alice\r\n", "331 "},
		[2]string{"PASS wonderland\r\n", "30 "}) // 230: logged in, 530: not
}

// ftpKeeps logs in, stores a file and fetches it.
func ftpKeeps(ctx context.Context, p place) error {
	err := p.dialogue(21, [2]string{"", "220 "}, [2]string{"FEAT\r\n", "211 End"}, [2]string{"USER alice\r\n", "331 "}, [2]string{"PASS wonderland\r\n", "230 "})
	if err != nil {
		return err
	}
	base := "ftp://" + p.address(21) + "/"
	if _, err := p.ask(ctx, "stored by ftp", "curl", "--disable", "--silent", "--show-error", "--max-time", "10", "--user", "alice:wonderland", "--upload-file", "-", base+"stored.txt"); err != nil {
		return err
	}
	return curl(ctx, p, "stored by ftp", base+"stored.txt", "--user", "alice:wonderland")
}

// sharesFiles lists the shares as a guest, stores a file and fetches it.
func sharesFiles(ctx context.Context, p place) error {
	return temporary(func(dir string) error {
		file := filepath.Join(dir, "stored.txt")
		if err := os.WriteFile(file, []byte("stored by smb"), 0o600); err != nil {
			return err
		}
		options := []string{"--no-pass", "--configfile=/dev/null", "--port=" + strconv.Itoa(p.port(445))}
		if err := p.says(ctx, []string{"Disk|share|for everybody"}, "", append([]string{"smbclient", "--grepable", "--list=127.0.0.1"}, options...)...); err != nil {
			return err
		}
		fetched := filepath.Join(dir, "fetched.txt")
		commands := "put " + file + " stored.txt; get stored.txt " + fetched
		if _, err := p.ask(ctx, "", append([]string{"smbclient", "//127.0.0.1/share", "--command=" + commands}, options...)...); err != nil {
			return err
		}
		b, err := os.ReadFile(fetched)
		if err == nil && string(b) != "stored by smb" {
			err = fmt.Errorf("the share gives %q", b)
		}
		return err
	})
}

// tftpGives fetches a file by TFTP, RFC 1350.
func tftpGives(ctx context.Context, p place) error {
	return curl(ctx, p, "hello by tftp", fmt.Sprintf("tftp://127.0.0.1:%d/hello.txt", p.portOf("udp", 69)))
}

// startsPrograms wants to be told by whom a super-server starts a program.
func startsPrograms(user string) judge {
	return func(_ context.Context, p place) error { return p.dialogue(7777, [2]string{"", user + "\n"}) }
}
