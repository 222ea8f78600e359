package explain

// items is what plans leave open and why they leave something to the start, where no check and no
// topic says it.
var items = []Page{
	{
		ID: "asked", Kind: Start, Title: "unroot-init was asked for",
		Text: `--init always puts unroot-init into the image though nothing in it is known to need that. At start it gives a uid without a passwd entry a name, a home where there is none, and becomes the program: then nothing of it stays, unless somebody has to answer for the name. See unroot explain passwd.`,
	},
	{
		ID: "closed-directory", Kind: Open, Title: "a directory is written in which others trust every name",
		Text: `A program or its start script makes files directly in a directory such as /etc, /usr/bin or /. unroot does not make such a directory writable: who can write there can replace programs and settings that everything else in the container relies on.

Write the file in the image, or let the program write to a directory of its own, and name that with --writable PATH.`,
	},
	{
		ID: "data-owner", Kind: Open, Title: "data serves only the uid that made it",
		Text: `The program demands to own its data directory (PostgreSQL's PGDATA is one). It makes one for whatever uid it runs as, and then refuses to use it as any other. The image cannot mend that: a chown of data is for root.

Keep one uid for the life of a volume. The image's own uid is one; OpenShift gives one to a namespace. In Kubernetes fsGroup does not help, as it changes groups and not owners.`,
	},
	{
		ID: "files-not-repeated", Kind: Open, Title: "files stay as they are, since their content would have to be repeated",
		Text: `To change owner or mode of a file, its content must be in the new layer again. unroot bounds how much of that it does. What is over the bound is listed with its size.

Raise the bound with --repeat-limit BYTES, or mount a volume there that is filled at start.`,
	},
	{
		ID: "leads-nowhere", Kind: Open, Title: "a path that was named leads nowhere",
		Text: `A directory that the image's config, the command line or a program's configuration names leads through a file, or in a circle of symbolic links. Name the directory that is meant.`,
	},
	{
		ID: "passwd-entry", Kind: Open, Title: "an unknown uid has no passwd entry",
		Text: `Programs of the image look their own user up and stop where there is none. The image's own uid has an entry. For a uid that the platform picks, CRI-O and Podman add one; Docker and containerd do not.

unroot-init answers for any uid: convert adds it by itself where that is known to be needed, and with --init always. With --init never this stays open, and the image's own uid is the one to use. See unroot explain passwd.`,
	},
	{
		ID: "privileged-task", Kind: Open, Title: "the start does what only root may do, and ends where it fails",
		Text: `A command of the start script needs root, its failure ends the start, and its work cannot be done in the image nor left out: it depends on a variable, on a volume, or on something that is not known before the start.

What decides it stands beside it: a variable with --env, the platform, or another script. convert --verify shows what the start really does.`,
	},
	{
		ID: "start-unknown", Kind: Open, Title: "what the image starts is not known wholly",
		Text: `The command leads to something that cannot be read without running it: a program that decides by itself, a script in a language that is not followed, or a construction of the shell that is not understood. So there may be needs that the plan does not know.

A run shows them: unroot verify, or convert --verify, which learns from what is refused.`,
	},
	{
		ID: "strict-directory", Kind: Open, Title: "a data directory that its program demands to own has data in the image",
		Text: `The directory belongs to one uid, holds data in the image, and its program refuses to work on it as anyone else. An empty one would be made anew for whoever runs.

Run as its owner (--uid), or name an empty directory for the data in the variable that the plan names.`,
	},
	{
		ID: "there", Kind: Start, Title: "unroot-init is in the image already",
		Text: `The image's entrypoint begins with /unroot-init, from an earlier conversion or from a Dockerfile. What it does already is kept; the plan adds to it and takes nothing away.`,
	},
	{
		ID: "tmpfs-content", Kind: Start, Title: "a tmpfs hides content that the program needs",
		Text: `With a read-only root file system, what is written must be mounted, and a tmpfs or a new volume starts empty: what the image has in that directory is hidden by it. unroot keeps that content once more under /usr/share/unroot-init, and unroot-init copies at start what is missing, with its modes (--fill). Nothing that is there is overwritten. See unroot explain volumes.`,
	},
}
