package main
import ("testing";"os";"unroot/internal/sandbox";"context")
func TestMain(m *testing.M) { sandbox.Stage(); os.Chdir(".."); os.Exit(m.Run()) }
func TestZZ(t *testing.T) { if err := runnerAlone(context.Background()); err != nil { t.Fatal(err) } }
