package rootfs

import "slices"

// Extend gives the tree with one layer more on top, what Merge gives for all of them, without
// merging the layers below again. The tree itself stays as it is; n is the new layer's index. Errors
// are those of Merge.
func (t *Tree) Extend(n int, entries []Entry) (*Tree, error) {
	root := t.clone()
	m := merger{root: root, nodes: t.count, redirects: slices.Clone(t.redirects)}
	if err := m.layOver(n, entries); err != nil {
		return nil, err
	}
	return &Tree{root: root, count: root.freeze(), redirects: m.redirects}, nil
}

// clone copies the nodes, in two pieces of memory, and shares the entries.
func (t *Tree) clone() *Node {
	c := cloner{nodes: make([]Node, 0, t.count), children: make([]*Node, 0, t.count)}
	root := c.copy(t.root, nil)
	root.parent = root
	return root
}

type cloner struct {
	nodes    []Node  // with room for all, so that pointers into it stay
	children []*Node // likewise
}

func (c *cloner) copy(n, parent *Node) *Node {
	c.nodes = append(c.nodes, *n)
	node := &c.nodes[len(c.nodes)-1]
	node.parent = parent
	if n.dir == nil {
		return node
	}
	start, count := len(c.children), len(n.dir.sorted)
	c.children = c.children[:start+count]
	mine := c.children[start : start+count : start+count]
	node.dir = &dir{sorted: mine}
	for i, child := range n.dir.sorted {
		mine[i] = c.copy(child, node)
	}
	return node
}
