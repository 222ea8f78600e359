package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPorts: which ports move where, and what is edited with them.
func TestPorts(t *testing.T) {
	t.Parallel()
	const image = `-- config --
{"User":"65532:0","Env":["HOME=/home/nonroot"%s],"Entrypoint":%s,"Cmd":%s,"ExposedPorts":{%s},"Healthcheck":{"Test":%s}}
-- layer --
d 0755 0:0 /etc
d 0777 0:0 /home/nonroot
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
nonroot:x:65532:0:nonroot:/home/nonroot:/sbin/nologin
-- /etc/group --
root:x:0:
-- /app 0755 elf --
-- /etc/web.conf --
# Listen 80
Listen %s
DocumentRoot /srv
<VirtualHost *:80>
	ServerName port80.example
</VirtualHost>
`
	tests := []struct {
		name, env, entrypoint, cmd, exposed, health, listen, options string
		moves, effects                                               []string
		open                                                         int
	}{
		{name: "80", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{}`, moves: []string{"80→8080/tcp"},
			effects: []string{`Cmd "--listen=:80" → "--listen=:8080"`, "ExposedPorts 80/tcp → 8080/tcp"}},
		{name: "53, both protocols", cmd: `["/app","--port","53"]`, exposed: `"53/tcp":{},"53/udp":{}`, moves: []string{"53→5353/tcp", "53→5353/udp"},
			effects: []string{`Cmd "53" → "5353"`, "ExposedPorts 53/tcp → 5353/tcp", "ExposedPorts 53/udp → 5353/udp"}},
		{name: "22, 25, 21", cmd: `["/app","--ssh-port=22","--smtp-port=25","--ftp-port=21"]`, exposed: `"21":{},"22":{},"25":{}`, moves: []string{"21→2121/tcp", "22→2222/tcp", "25→2525/tcp"},
			effects: []string{`Cmd "--ftp-port=21" → "--ftp-port=2121"`, `Cmd "--ssh-port=22" → "--ssh-port=2222"`, `Cmd "--smtp-port=25" → "--smtp-port=2525"`,
				"ExposedPorts 21 → 2121", "ExposedPorts 22 → 2222", "ExposedPorts 25 → 2525"}},
		{name: "the usual port is taken by an exposed one", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{},"8080/tcp":{},"9080/udp":{}`, moves: []string{"80→10080/tcp"},
			effects: []string{`Cmd "--listen=:80" → "--listen=:10080"`, "ExposedPorts 80/tcp → 10080/tcp"}},
		{name: "by a configuration", cmd: `["/app","-c","/etc/web.conf","--listen=:80"]`, exposed: `"80/tcp":{}`, listen: "8080", moves: []string{"80→9080/tcp"},
			effects: []string{`Cmd "--listen=:80" → "--listen=:9080"`, "ExposedPorts 80/tcp → 9080/tcp", "/etc/web.conf edited in one place"}},
		{name: "two that would meet", cmd: `["/app","--listen=:53","--alt-port=153"]`, exposed: `"53":{},"153":{}`, moves: []string{"53→5353/tcp", "153→8153/tcp"},
			effects: []string{`Cmd "--listen=:53" → "--listen=:5353"`, `Cmd "--alt-port=153" → "--alt-port=8153"`, "ExposedPorts 53 → 5353", "ExposedPorts 153 → 8153"}},
		{name: "--port says where", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{},"9000/tcp":{}`, options: "port=80=9000", moves: []string{"80→9000/tcp"},
			effects: []string{`Cmd "--listen=:80" → "--listen=:9000"`, "ExposedPorts 80/tcp → 9000/tcp"}},
		{name: "--port of a high one", cmd: `["/app","--listen=:8000"]`, exposed: `"8000/tcp":{}`, options: "port=8000=9000", moves: []string{"8000→9000/tcp"},
			effects: []string{`Cmd "--listen=:8000" → "--listen=:9000"`, "ExposedPorts 8000/tcp → 9000/tcp"}},
		{name: "--keep-ports", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{}`, options: "keep-ports"},
		{name: "--keep-ports with one that moves", cmd: `["/app","--listen=:80","--admin-port=81"]`, exposed: `"80/tcp":{},"81":{}`, options: "keep-ports port=81=8181", moves: []string{"81→8181/tcp"},
			effects: []string{`Cmd "--admin-port=81" → "--admin-port=8181"`, "ExposedPorts 81 → 8181"}},
		{name: "nothing says that it listens", cmd: `["/app"]`, exposed: `"80/tcp":{}`, open: 1},
		{name: "nothing says so, and the user does", cmd: `["/app"]`, exposed: `"80/tcp":{}`, options: "port=80=8080", moves: []string{"80→8080/tcp"}, effects: []string{"ExposedPorts 80/tcp → 8080/tcp"}, open: 1},
		{name: "not exposed, in a configuration", cmd: `["/app","-c","/etc/web.conf"]`, listen: "80", moves: []string{"80→8080/tcp"}, effects: []string{"/etc/web.conf edited in 2 places"}},
		{name: "environment", env: `,"PORT=80","VERSION=80","URL=http://example.com/"`, cmd: `["/app"]`, exposed: `"80/tcp":{}`, moves: []string{"80→8080/tcp"},
			effects: []string{"Env PORT=80 → 8080", "ExposedPorts 80/tcp → 8080/tcp"}},
		{name: "health check", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{}`, health: `["CMD-SHELL","wget -q -O- http://127.0.0.1:80/health && curl -f http://localhost/ http://example.com/ http://localhost:8080/"]`, moves: []string{"80→9080/tcp"},
			options: "port=80=9080",
			effects: []string{`Cmd "--listen=:80" → "--listen=:9080"`,
				`Healthcheck "wget -q -O- http://127.0.0.1:80/health && curl -f http://localhost/ http://example.com/ http://localhost:8080/" → "wget -q -O- http://127.0.0.1:9080/health && curl -f http://localhost:9080/ http://example.com/ http://localhost:8080/"`,
				"ExposedPorts 80/tcp → 9080/tcp"}},
		{name: "health check as words", cmd: `["/app","--listen=:80"]`, exposed: `"80/tcp":{}`, health: `["CMD","nc","-z","localhost","80"]`, moves: []string{"80→8080/tcp"},
			effects: []string{`Cmd "--listen=:80" → "--listen=:8080"`, `Healthcheck "80" → "8080"`, "ExposedPorts 80/tcp → 8080/tcp"}},
		{name: "the last word", entrypoint: `["python3","-m","http.server"]`, cmd: `["80"]`, exposed: `"80/tcp":{}`, moves: []string{"80→8080/tcp"},
			effects: []string{`Cmd "80" → "8080"`, "ExposedPorts 80/tcp → 8080/tcp"}},
		{name: "option in Entrypoint, port in Cmd", entrypoint: `["/app","--port"]`, cmd: `["80","--verbose"]`, exposed: `"80/tcp":{}`, moves: []string{"80→8080/tcp"},
			effects: []string{`Cmd "80" → "8080"`, "ExposedPorts 80/tcp → 8080/tcp"}},
		{name: "no number", cmd: `["/app","--listen=:http"]`, exposed: `"http/tcp":{},"0":{},"70000":{},"80-90/tcp":{}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			or := func(s, def string) string {
				if s == "" {
					return def
				}
				return s
			}
			p := makePlan(t, fmt.Sprintf(image, tt.env, or(tt.entrypoint, "null"), tt.cmd, tt.exposed, or(tt.health, "null"), or(tt.listen, "8000")), tt.options)
			var moves []string
			for _, m := range p.Ports {
				moves = append(moves, fmt.Sprintf("%d→%d/%s", m.From, m.To, m.Proto))
			}
			if diff := cmp.Diff(tt.moves, moves); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.effects, effects(p, "set-env", "set-arg", "set-args", "move-port", "edit-file")); diff != "" {
				t.Error(diff)
			}
			low := 0
			for _, o := range p.Open {
				if o.ID == "low-port" {
					low++
				}
				if strings.Contains(o.What, "  ") {
					t.Errorf("%q", o.What)
				}
			}
			if low != tt.open {
				t.Errorf("%d ports are open, want %d", low, tt.open)
			}
		})
	}
}
